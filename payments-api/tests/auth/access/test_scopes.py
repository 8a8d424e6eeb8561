"""Scopes: every route requires its scope or is listed as public."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from uuid import uuid4

import pytest
from pydantic.alias_generators import to_camel
from quart import Quart

from payments_api.app import create_app
from payments_api.auth.caller import SCOPES
from payments_api.auth.middleware import PUBLIC, required_scopes
from payments_api.openapi.document import document
from payments_api.openapi.route_specs import OPERATIONS
from payments_api.operations import routes
from payments_api.settings import ApiSettings
from testkit.waiting import WAIT_SECONDS_MAX

from .conftest import bearer

Keys: TypeAlias = Callable[..., Awaitable[str]]


PLACEHOLDERS = {
    "account_id": "acc_1",
    "payment_id": str(uuid4()),
    "reversal_id": str(uuid4()),
    "adjustment_id": str(uuid4()),
    "statement_id": str(uuid4()),
    "job_id": "1",
    "source": "bank-eur",
    "line_id": "1",
    "match_id": "1",
    "break_id": "1",
    "webhook_id": str(uuid4()),
    "delivery_id": str(uuid4()),
}


PUBLIC_ROUTES = {
    *("control.health", "control.livez", "control.readyz", "control.metrics"),
    *("documents.get_openapi", "documents.get_docs"),
}


def _requests(app: Quart) -> list[tuple[str, str, str]]:
    """Return every route as (endpoint, method, path)."""
    return [
        (
            rule.endpoint,
            method,
            re.sub(r"<(?:\w+:)?(\w+)>", lambda name: PLACEHOLDERS[name[1]], rule.rule),
        )
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static"
        # Any route of a path answers OPTIONS for all of its methods.
        for method in sorted((rule.methods or set()) - {"OPTIONS"})
    ]


def test_every_route_has_a_scope_or_is_listed_as_public() -> None:
    scopes = required_scopes(create_app(ApiSettings(auth="off")))
    assert {name for name, scope in scopes.items() if scope is PUBLIC} == PUBLIC_ROUTES
    assert {scope for scope in scopes.values() if scope} == set(SCOPES)


def test_a_route_without_a_scope_prevents_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(routes.get_audit, "required_scope")
    with pytest.raises(LookupError, match=r"jobs\.get_audit"):
        create_app(ApiSettings(auth="off"))


def test_the_document_states_each_routes_scope() -> None:
    app = create_app(ApiSettings(auth="on"))
    described, scopes = document(app), required_scopes(app)
    for operation in OPERATIONS:
        (path,) = [r.rule for r in app.url_map.iter_rules() if r.endpoint == operation.endpoint]
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda name: f"{{{to_camel(name[1])}}}", path)
        for told in described["paths"][path].values():
            if told["operationId"].startswith(operation.endpoint.replace(".", "_")):
                scope = scopes[operation.endpoint]
                assert told["security"] == ([] if scope is PUBLIC else [{"apiKey": [scope]}])
                assert ("401" in told["responses"]) == (scope is not PUBLIC)


@pytest.mark.parametrize("held", [None, *SCOPES])
async def test_a_key_allows_only_the_routes_of_its_scope(
    kept: Quart, make_key: Keys, held: str | None
) -> None:
    headers = {} if held is None else bearer(await make_key(held))
    surprises, scopes = [], required_scopes(kept)
    for endpoint, method, address in _requests(kept):
        answer = await kept.test_client().open(  # type: ignore[call-arg]  # json has a default
            address, method=method, headers=headers
        )
        scope = scopes[endpoint]
        wanted = None if scope in (PUBLIC, held) else 401 if held is None else 403
        found = answer.status_code if answer.status_code in (401, 403) else None
        if found != wanted:
            surprises.append((method, address, held, answer.status_code))
        elif wanted and method != "HEAD":
            problem = await answer.get_json(force=True)
            assert problem["code"] == {401: "unauthorized", 403: "forbidden"}[wanted]
            assert answer.content_type == "application/problem+json"
            assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert surprises == []


async def test_with_keys_off_every_route_is_open(app: Quart) -> None:
    for endpoint, method, address in _requests(app):
        if endpoint != "events.get_events":
            answer = await app.test_client().open(  # type: ignore[call-arg]  # json has a default
                address, method=method
            )
            assert answer.status_code not in (401, 403), address


async def test_an_unknown_path_is_404_with_and_without_a_key(kept: Quart) -> None:
    assert (await kept.test_client().get("/nowhere")).status_code == 404
    assert (await kept.test_client().delete("/payments")).status_code == 405
    assert (await kept.test_client().get("/static/docs.css")).status_code == 200


async def test_a_rejection_leaves_the_connection_open(serve_api: Any) -> None:
    served = await serve_api(auth="on")
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    for _ in range(3):
        body = b'{"accountId": "acc_1", "amount": "1.00"}'
        head = f"POST /payments HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", answer.lower())
            assert length is not None
            await reader.readexactly(int(length[1]))
        assert answer.startswith(b"HTTP/1.1 401")
    writer.close()
