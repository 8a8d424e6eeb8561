"""The OpenAPI document matches the API: every route, every example, every answer."""

import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema_rs
import pytest
from pydantic.alias_generators import to_camel
from quart import Quart
from quart.typing import TestClientProtocol
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from payments_api.app import create_app
from payments_api.limits.admission import LIMITED
from payments_api.openapi.document import document
from payments_api.openapi.route_specs import OPERATIONS
from payments_api.settings import ApiSettings
from payments_core.http.problems import PROBLEM_TYPE, Problem
from payments_core.http.telemetry import PROBES
from testkit.database.sql import Sql

DOCUMENT = document(create_app(ApiSettings()))
COMMITTED = Path(__file__).parents[3] / "docs" / "openapi.json"
ROUTES = [(method, path) for path, operations in DOCUMENT["paths"].items() for method in operations]


def _accepts(schema: Any, value: Any) -> None:
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema_rs.Draft202012Validator(whole, validate_formats=True).validate(value)


def _references(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_references, value))
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(_references, value.values()))
    return set()


def test_the_document_is_valid_openapi() -> None:
    OPENAPI_31_VALIDATOR.validate(DOCUMENT)


def _in_braces(placeholder: re.Match[str]) -> str:
    return f"{{{to_camel(placeholder[1])}}}"


def test_every_route_is_described_and_every_description_has_a_route() -> None:
    app = create_app(ApiSettings())
    routes = {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", _in_braces, rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint != "static"
    }
    assert set(ROUTES) == routes
    assert {operation.endpoint for operation in OPERATIONS} == {
        rule.endpoint for rule in app.url_map.iter_rules() if rule.endpoint != "static"
    }


def test_every_reference_has_a_schema_and_every_schema_is_used() -> None:
    defined = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert _references(DOCUMENT) == defined


def test_every_operation_has_a_unique_name_and_a_summary() -> None:
    operations = [DOCUMENT["paths"][path][method] for method, path in ROUTES]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation["summary"].endswith(".") for operation in operations)


def test_every_parameter_of_a_path_is_described() -> None:
    for method, path in ROUTES:
        described = {
            parameter["name"]
            for parameter in DOCUMENT["paths"][path][method].get("parameters", ())
            if parameter["in"] == "path"
        }
        assert described == set(re.findall(r"{(\w+)}", path)), path


def test_the_committed_document_is_the_generated_one() -> None:
    assert json.loads(COMMITTED.read_text()) == DOCUMENT, "run make openapi"


def _examples(content: Any) -> list[Any]:
    found = [content["example"]] if "example" in content else []
    return found + [example["value"] for example in content.get("examples", {}).values()]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_each_example_is_accepted_by_its_own_schema(method: str, path: str) -> None:
    operation = DOCUMENT["paths"][path][method]
    for part in (operation.get("requestBody", {}), *operation["responses"].values()):
        for content in part.get("content", {}).values():
            for example in _examples(content):
                _accepts(content["schema"], example)
    for parameter in operation.get("parameters", ()):
        if "example" in parameter:
            _accepts(parameter["schema"], parameter["example"])


def test_each_schema_accepts_its_own_examples() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        for example in schema.get("examples", ()):
            _accepts(schema, example)


def test_each_problem_has_an_example() -> None:
    told = set(re.findall(r'"code": "(\w+)"', json.dumps(DOCUMENT)))

    def codes(problem: type[Problem]) -> set[str]:
        return {problem.code}.union(*(codes(below) for below in problem.__subclasses__()))

    assert codes(Problem) <= told


async def test_each_example_of_a_payment_is_accepted(client: TestClientProtocol, sql: Sql) -> None:
    for path, wrap in (("/payments", None), ("/payments/batch", "payments")):
        content = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        for example in _examples(content):
            answer = await client.post(
                path, json=example, headers={"Idempotency-Key": str(uuid4())}
            )
            assert answer.status_code == (201 if wrap is None else 200)
    assert await sql.fetchval("SELECT count(*) FROM payments") == 2


async def test_the_document_is_served(client: TestClientProtocol) -> None:
    answer = await client.get("/openapi.json")
    assert answer.content_type == "application/json"
    assert await answer.get_json() == DOCUMENT


async def test_the_documents_page_loads_nothing_from_other_hosts(
    client: TestClientProtocol,
) -> None:
    answer = await client.get("/docs")
    page = await answer.get_data(as_text=True)
    assert answer.content_type.startswith("text/html")
    for _, path in ROUTES:
        assert path in page
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert not re.search(r'(src|href)="(https?:)?//', page)


def test_every_error_is_a_problem_document() -> None:
    for method, path in ROUTES:
        for status, answer in DOCUMENT["paths"][path][method]["responses"].items():
            if status >= "400":
                assert list(answer["content"]) == [PROBLEM_TYPE], (path, status)


def _problems(path: str, method: str, status: str) -> set[str]:
    answer = DOCUMENT["paths"][path][method]["responses"].get(status, {})
    return {code for content in answer.get("content", {}).values() for code in content["examples"]}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_routes_document_the_limits_that_reject_their_requests(method: str, path: str) -> None:
    assert ("overloaded" in _problems(path, method, "503")) == path.startswith(LIMITED)
    assert ("rate_limited" in _problems(path, method, "429")) == (path not in PROBES)


@pytest.mark.parametrize("path", sorted(PROBES | {"/openapi.json", "/docs"}))
async def test_public_routes_need_no_database(path: str) -> None:
    assert "database_unavailable" not in _problems(path, "get", "503")
    settings = ApiSettings(database_url="postgresql://nobody@127.0.0.1:1/nowhere")
    answer = await create_app(settings).test_client().get(path)
    assert answer.status_code == (503 if path == "/readyz" else 200)


def test_the_document_is_generated_once_per_app() -> None:
    app: Quart = create_app(ApiSettings())
    assert document(app) is document(app)
