"""The OpenAPI 3.1 document: built from the routes, their docstrings, specs and schemas."""

import re
from functools import lru_cache
from importlib.metadata import version
from inspect import getdoc
from typing import Any

from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic.json_schema import models_json_schema
from quart import Quart

from payments_api.auth.caller import SCOPES
from payments_api.auth.keys import KEY_PATTERN
from payments_api.auth.middleware import PUBLIC, required_scopes
from payments_api.openapi import parameters, schemas
from payments_api.openapi.operation import ANYWHERE, PROTECTED, Operation
from payments_api.openapi.route_specs import OPERATIONS
from payments_core.http.problems import PROBLEM_TYPE, Problem

_PLACEHOLDER = re.compile(r"<(?:\w+:)?(\w+)>")  # Of a path, as Quart writes it.

_TAGS = (
    *("payments", "accounts", "events", "webhooks", "statements", "matching"),
    *("operations", "control"),
)
API_KEY = "apiKey"  # The security scheme's name.
_IDEMPOTENCY_REPLAYED = {
    "description": "true if the answer repeats that of an earlier request with the key.",
    "schema": {"type": "string", "enum": ["true"]},
}
_LOCATION = {"description": "The path of the created resource.", "schema": {"type": "string"}}
_DESCRIPTION = """\
Create payments, follow their reconciliation, and read a double-entry ledger.

Amounts and balances are exact: strings with the number of decimals that the currency has.
Every error is an RFC 9457 problem document with a stable `code`."""


@lru_cache(maxsize=4)
def document(app: Quart) -> dict[str, Any]:
    """Return the app's document as a JSON object. Raises KeyError for a route without a spec."""
    described = {operation.endpoint: operation for operation in OPERATIONS}
    scopes = required_scopes(app)
    paths: dict[str, dict[str, Any]] = {}
    for rule in app.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        operation = described[rule.endpoint]
        path = _PLACEHOLDER.sub(lambda name: f"{{{to_camel(name[1])}}}", rule.rule)
        text = getdoc(app.view_functions[rule.endpoint]) or ""
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            paths.setdefault(path, {})[method.lower()] = _operation(
                operation, scopes[rule.endpoint], text, path
            )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Payments API",
            "version": version("payments-api"),
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in _TAGS],
        "paths": paths,
        "components": {
            "schemas": _component_schemas(),
            "securitySchemes": {API_KEY: _security_scheme()},
        },
    }


def _operation(operation: Operation, scope: str | None, text: str, path: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(operation.endpoint) + ("" if path != "/livez" else "_live"),
        "tags": [operation.tag],
        "summary": text.split("\n", 1)[0],
        "security": [] if scope is PUBLIC else [{API_KEY: [scope]}],
        "responses": _responses(operation, public=scope is PUBLIC),
    }
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.takes:
        content = _body(operation.takes)
        described["requestBody"] = {"required": True, "content": content}
    return described


def _body(takes: type[BaseModel] | str) -> dict[str, Any]:
    if isinstance(takes, str):
        return {takes: {"schema": {"type": "string", "format": "binary"}}}
    return {"application/json": _content(takes)}


def _security_scheme() -> dict[str, str]:
    allows = "\n".join(f"- `{scope}`: {text}" for scope, text in SCOPES.items())
    return {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": f"^{KEY_PATTERN}$",
        "description": f"An API key, created by `payments-api keys create`. Scopes:\n{allows}",
    }


def _responses(operation: Operation, *, public: bool) -> dict[str, Any]:
    answer = operation.answer
    if answer is None:
        success: dict[str, Any] = {"description": "No content."}
    elif isinstance(answer, str):
        schema = {} if answer == "application/json" else {"type": "string"}
        success = {"description": answer, "content": {answer: {"schema": schema}}}
    else:
        text = (getdoc(answer) or "").split("\n", 1)[0]
        success = {"description": text, "content": {"application/json": _content(answer)}}
    if parameters.KEY in operation.parameters:
        success["headers"] = {
            "Idempotency-Replayed": _IDEMPOTENCY_REPLAYED,
            "Location": _LOCATION,
        }
    elif operation.located:
        success["headers"] = {"Location": _LOCATION}
    links = _links(operation)
    if links:
        success["links"] = links
    responses: dict[str, Any] = {str(operation.status): success}
    if operation.also:
        responses[str(operation.also)] = success
    by_status: dict[int, list[type[Problem]]] = {}
    protected = () if public else PROTECTED
    for problem in (*operation.problems, *protected, *ANYWHERE):
        by_status.setdefault(problem.status, []).append(problem)
    for status, problems in sorted(by_status.items()):
        responses[str(status)] = {
            "description": " Or: ".join(problem.title() for problem in problems),
            "content": {
                PROBLEM_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {problem.code: _example(problem) for problem in problems},
                }
            },
        }
    return responses


def _links(operation: Operation) -> dict[str, Any]:
    """Return the links of a success, for readers that follow answers (OpenAPI 3.1, 4.8.20)."""
    links = {
        link.name: _link(link.endpoint, {link.parameter: f"$response.body#/{link.pointer}"})
        for link in operation.links
    }
    names = [each["name"] for each in operation.parameters if each["in"] == "query"]
    if "cursor" in names:
        # A cursor is bound to its filters, so the next page repeats them.
        repeated = {name: f"$request.query.{name}" for name in names}
        cursor = {"cursor": "$response.body#/nextCursor"}
        links["nextPage"] = _link(operation.endpoint, repeated | cursor)
    return links


def _link(endpoint: str, parameters: dict[str, str]) -> dict[str, Any]:
    return {"operationId": _operation_id(endpoint), "parameters": parameters}


def _operation_id(endpoint: str) -> str:
    return endpoint.replace(".", "_")


def _example(problem: type[Problem]) -> dict[str, Any]:
    value = {
        "type": f"urn:payments:problem:{problem.code}",
        "title": problem.title(),
        "status": problem.status,
        "code": problem.code,
    }
    return {"summary": problem.title(), "value": value}


def _content(model: type[BaseModel]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
    extra = model.model_config.get("json_schema_extra")
    examples = extra.get("examples") if isinstance(extra, dict) else None
    if isinstance(examples, list) and examples:
        content["example"] = examples[0]
    return content


def _component_schemas() -> dict[str, Any]:
    models = {o.answer for o in OPERATIONS if o.answer and not isinstance(o.answer, str)}
    models |= {o.takes for o in OPERATIONS if o.takes and not isinstance(o.takes, str)}
    models |= {schemas.Problem}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, generated = models_json_schema(
        [(model, "validation") for model in ordered],
        by_alias=True,
        ref_template="#/components/schemas/{model}",
    )
    definitions: dict[str, Any] = generated["$defs"]
    return definitions
