"""Check automations.yaml by Ona's own schema: python ona_schema.py FILE...

Runs in a separate virtual environment (deploy/tools/ona-schema.lock), because the schema's protobuf
library is older than that of our packages. Prints one line per problem.

Protobuf rejects unknown and mistyped fields. The other rules (patterns of keys, allowed triggers,
required values) are options of the schema's fields, and are applied here.
"""

# The imports exist only in that environment.
# mypy: ignore-errors

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from buf.validate import validate_pb2
from gitpod.v1.environment_automation_pb2 import AutomationsFile
from google.protobuf.json_format import ParseDict, ParseError


def problems(text: str) -> list[str]:
    """Return the file's violations of the schema."""
    try:
        message = ParseDict(yaml.safe_load(text), AutomationsFile())
    except ParseError as error:
        return [str(error)]
    return list(of_message(message, ""))


def of_message(message: Any, path: str) -> Iterator[str]:
    for field in message.DESCRIPTOR.fields:
        rules = field.GetOptions().Extensions[validate_pb2.field]
        yield from of_field(message, field, rules, f"{path}.{field.json_name}".lstrip("."))


def of_field(message: Any, field: Any, rules: Any, path: str) -> Iterator[str]:
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        for key, entry in value.items():
            yield from of_string(key, rules.map.keys.string, f"{path}: {key!r}")
            yield from of_message(entry, f"{path}.{key}")
    elif field.label == field.LABEL_REPEATED:
        for item in value:
            yield from of_string(item, rules.repeated.items.string, f"{path}: {item!r}")
    elif field.message_type is None:
        yield from of_string(value, rules.string, f"{path}: {value!r}")
    elif message.HasField(field.name):
        if rules.HasField("duration"):
            if not rules.duration.gte.seconds <= value.seconds <= rules.duration.lte.seconds:
                yield f"{path}: {value.seconds} s is out of range"
        else:
            yield from of_message(value, path)
    elif rules.required:
        yield f"{path}: is missing"


def of_string(value: Any, rules: Any, where: str) -> Iterator[str]:
    if not isinstance(value, str):
        return
    if len(value) < rules.min_len:
        yield f"{where} is shorter than {rules.min_len}"
    if rules.pattern and not re.search(rules.pattern, value):
        yield f"{where} does not match {rules.pattern}"
    allowed = list(getattr(rules, "in"))
    if allowed and value not in allowed:
        yield f"{where} is none of {', '.join(map(repr, allowed))}"


if __name__ == "__main__":
    found = [
        f"{name}: {line}" for name in sys.argv[1:] for line in problems(Path(name).read_text())
    ]
    print("\n".join(found))
    sys.exit(1 if found else 0)
