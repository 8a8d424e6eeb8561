"""Validate objects strictly against schemas, in the venv of `.cache/tools/kubernetes`.

Reads {"versions": [...], "crds": {"apiVersion/Kind": schema}, "objects": [...]} as JSON from
standard input, and prints a list of errors as JSON.
"""

import json
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

# Installed in that venv only.
import jsonschema  # type: ignore[import-not-found,import-untyped,unused-ignore]
from kubernetes_validate import utils  # type: ignore[import-not-found]

ANY_METADATA = {"type": "object", "required": ["name"]}


def path_of(error: Any) -> str:
    return "/".join(str(part) for part in error.path)


def crd_errors(schema: dict[str, Any], item: dict[str, Any]) -> Iterator[str]:
    whole = {
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
        "properties": {"apiVersion": {}, "kind": {}, "metadata": ANY_METADATA, "spec": schema},
    }
    for error in jsonschema.Draft202012Validator(whole).iter_errors(item):
        yield f"{path_of(error)}: {error.message}"


def errors_of(item: dict[str, Any], versions: list[str], crds: dict[str, Any]) -> Iterator[str]:
    key = f"{item['apiVersion']}/{item['kind']}"
    if key in crds:
        yield from crd_errors(crds[key], item)
        return
    for version in versions:
        try:
            utils.validate(item, version, strict=True)
        except utils.SchemaNotFoundError as error:
            yield error.message
        except utils.ValidationError as error:
            yield f"Kubernetes {version}: {path_of(error)}: {error.message}"


def main() -> None:
    # Read once, not for each object.
    utils.schema_contents = lru_cache(maxsize=None)(utils.schema_contents)
    asked = json.load(sys.stdin)
    versions = [utils.latest_version() if v == "newest" else v for v in asked["versions"]]
    found = [
        f"{item['kind']}/{item['metadata']['name']}: {error}"
        for item in asked["objects"]
        for error in errors_of(item, versions, asked["crds"])
    ]
    json.dump(found, sys.stdout)


main()
