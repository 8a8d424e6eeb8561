"""Write payments_ui/api/types.py from docs/openapi.json; `make api-types` runs it.

With --check it writes nothing and exits with 1 if the module is out of date.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs/openapi.json"
MODULE = ROOT / "payments-ui/src/payments_ui/api/types.py"
# The responses that the page reads; referenced schemas follow.
RESPONSES = (
    *("CreatedPayment", "PaymentPage", "PaymentDetail", "Balance", "Currencies", "Statement"),
    *("PaymentTotals", "AccountTotals", "BalanceHistory"),
    *(
        "AccountPage",
        "QueueStats",
        "Throughput",
        "Workers",
        "Audit",
        "JobPage",
        "OperatorRecordPage",
        "DeadLetterGroups",
        "Seal",
        "CreatedReversal",
        "ReversalPage",
        "Replayed",
        "Discarded",
        "StatementFilePage",
        "StatementFileDetail",
        "StatementLinePage",
        "ReconciliationReport",
        "LineDetail",
        "OpenEntryPage",
        "SourceLinePage",
        "Match",
        "MatchPage",
        "WebhookPage",
        "WebhookWithSecret",
        "DeliveryPage",
        "DeliveryDetail",
        "Resent",
    ),
)
LINE_CHARS_MAX = 100
HEADER = '''\
"""The JSON that payments-api answers with: money as text, times as RFC 3339.

Generated from docs/openapi.json by `make api-types`: change the API, not this file.
"""

from typing import Literal, NotRequired, TypedDict
'''
SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}

Schema = dict[str, Any]


def type_of(schema: Schema, needed: list[str]) -> str:
    """Return the schema as a Python type; names that it refers to are added to `needed`."""
    if "$ref" in schema:
        name = str(schema["$ref"].rpartition("/")[2])
        needed.append(name)
        return name
    if "anyOf" in schema:
        return " | ".join(type_of(option, needed) for option in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        values = schema.get("enum") or [schema["const"]]
        return f"Literal[{', '.join(json.dumps(value) for value in values)}]"
    if schema.get("type") == "array":
        return f"list[{type_of(schema['items'], needed)}]"
    if schema.get("type") == "object":
        return f"dict[str, {type_of(schema['additionalProperties'], needed)}]"
    return SCALARS[schema["type"]]


def field_lines(name: str, annotation: str) -> str:
    """Return one field, wrapped as ruff does."""
    line = f"    {name}: {annotation}"
    if len(line) <= LINE_CHARS_MAX:
        return line
    if annotation.endswith(" | None"):
        optional = f"        {annotation}"
        if len(optional) > LINE_CHARS_MAX:
            of = annotation.removesuffix(" | None")
            optional = "\n".join((_wrapped(f"        {of}"), "        | None"))
        return f"    {name}: (\n{optional}\n    )"
    return _wrapped(line)


def _wrapped(line: str) -> str:
    """Return a line that ends with a bracket over several lines."""
    indent = " " * (len(line) - len(line.lstrip()))
    head, _, values = line.removesuffix("]").partition("[")
    inner = f"{indent}    {values}"
    if len(inner) > LINE_CHARS_MAX:
        inner = "\n".join(f"{indent}    {value}," for value in values.split(", "))
    return f"{head}[\n{inner}\n{indent}]"


def write_class(name: str, schemas: dict[str, Schema], written: dict[str, str]) -> None:
    """Add the schema to `written`, after those that it refers to."""
    if name in written:
        return
    schema = schemas[name]
    optional = set(schema["properties"]) - set(schema["required"])
    needed: list[str] = []
    fields = []
    for field, content in schema["properties"].items():
        annotation = type_of(content, needed)
        given = f"NotRequired[{annotation}]" if field in optional else annotation
        fields.append(field_lines(field, given))
    for each in needed:
        write_class(each, schemas, written)
    summary = schema["description"].partition("\n")[0]
    written[name] = "\n".join([f"class {name}(TypedDict):", f'    """{summary}"""', "", *fields])


def module_text() -> str:
    """Return the whole module."""
    schemas = json.loads(DOCUMENT.read_text())["components"]["schemas"]
    written: dict[str, str] = {}
    for name in RESPONSES:
        write_class(name, schemas, written)
    return "\n\n".join([HEADER, *(f"{text}\n" for text in written.values())])


def main() -> None:
    """Write the module, or compare it."""
    if sys.argv[1:] != ["--check"]:
        MODULE.write_text(module_text())
    elif MODULE.read_text() != module_text():
        sys.exit("payments_ui/api/types.py is not what docs/openapi.json says: run make api-types")


if __name__ == "__main__":
    main()
