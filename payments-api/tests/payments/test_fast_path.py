"""The fast path gives the answers of the route, and passes on what it does not recognise."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol
from werkzeug.datastructures import Headers

from payments_api.app import create_app
from payments_api.auth.caller import PAYMENTS_READ, PAYMENTS_WRITE
from payments_api.auth.keys import KeyGrant, add_key, new_key
from payments_api.http.errors import DatabaseUnavailable, Overloaded
from payments_api.http.json_body import BODY_MAX_BYTES
from payments_api.payments import fast_path
from payments_api.services import EXTENSION
from payments_api.settings import ApiSettings
from payments_core.db.engine import create_engine, transaction
from testkit.waiting import WAIT_SECONDS_MAX

FAST, ROUTE = False, True
BODY = {"accountId": "acc_1", "amount": "1.00", "description": "ä ☃"}

RoutePaths = list[str]


@pytest.fixture
def route_paths(app: Quart, monkeypatch: pytest.MonkeyPatch) -> RoutePaths:
    """The paths of the requests that reach Quart."""
    return _watched(app, monkeypatch)


def _watched(app: Quart, monkeypatch: pytest.MonkeyPatch) -> RoutePaths:
    paths: RoutePaths = []
    handle = app.handle_request

    async def watched(request: Any) -> Any:
        paths.append(request.path)
        return await handle(request)

    monkeypatch.setattr(app, "handle_request", watched)
    return paths


async def _post(
    client: TestClientProtocol, by_route: bool, data: bytes, headers: dict[str, str]
) -> Any:
    """Post a payment; a repeated header sends it to the route."""
    fields = Headers({"Content-Type": "application/json", **headers})
    for _ in range(2 if by_route else 1):
        fields.add("Accept", "*/*")
    return await client.post("/payments", data=data, headers=fields)


async def _answer(
    client: TestClientProtocol, by_route: bool, data: bytes, **headers: str
) -> tuple[int, dict[str, str], dict[str, Any]]:
    response = await _post(
        client, by_route, data, {name.replace("_", "-"): v for name, v in headers.items()}
    )
    body = json.loads(await response.get_data())
    told = {name.lower(): value for name, value in response.headers.items()}
    # Values that differ between payments.
    for own in ("id", "createdAt"):
        if own in body:
            body[own] = "..."
    if "location" in told:
        told["location"] = told["location"][:10]
    return response.status_code, told, body


SAME = [
    pytest.param(BODY, {}, 201, id="created"),
    pytest.param(BODY, {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}, 201, id="traced"),
    pytest.param(BODY, {"Content_Type": "application/json; charset=utf-8"}, 201, id="charset"),
    pytest.param(BODY, {"Content_Type": "Application/JSON"}, 201, id="upper case"),
    pytest.param(BODY, {"Content_Type": "text/plain"}, 415, id="media type"),
    pytest.param(BODY, {"Content_Encoding": "identity"}, 201, id="identity"),
    pytest.param(BODY, {"Content_Encoding": "gzip"}, 415, id="content encoding"),
    pytest.param(BODY, {"Payments_Operator": "ada"}, 201, id="operator"),
    pytest.param(BODY, {"Payments_Operator": "%FF"}, 422, id="no operator"),
    pytest.param(BODY | {"amount": "1.001"}, {}, 422, id="too many decimals"),
    pytest.param(BODY | {"acc": "\ud800", "currency": 1}, {}, 422, id="wrong fields"),
    pytest.param([], {}, 400, id="not an object"),
    pytest.param(BODY, {"Idempotency_Key": ""}, 400, id="empty key"),
    pytest.param(BODY, {"Idempotency_Key": '"a"b"'}, 400, id="broken key"),
    pytest.param(BODY | {"description": "x" * BODY_MAX_BYTES}, {}, 413, id="too long"),
]


@pytest.mark.parametrize(("body", "headers", "status"), SAME)
async def test_both_paths_give_the_same_answer(
    client: TestClientProtocol, route_paths: RoutePaths, body: object, headers: Any, status: int
) -> None:
    data = json.dumps(body).encode()
    fast = await _answer(client, FAST, data, **{"Idempotency_Key": "fast", **headers})
    assert bool(route_paths) == (status == 413)
    route_paths.clear()
    routed = await _answer(client, ROUTE, data, **{"Idempotency_Key": "routed", **headers})
    assert route_paths
    assert fast == routed
    assert fast[0] == status


async def test_a_missing_key_or_broken_json_has_the_same_answer_on_both_paths(
    client: TestClientProtocol, route_paths: RoutePaths
) -> None:
    for data in (json.dumps(BODY).encode(), b'{"a": 1, "a": 1}', b"\xff", b""):
        fast = await _answer(client, FAST, data)
        assert not route_paths
        assert fast == await _answer(client, ROUTE, data)
        assert fast[0] == 400
        route_paths.clear()


async def test_replays_and_reused_keys_have_the_same_answer_on_both_paths(
    client: TestClientProtocol, route_paths: RoutePaths
) -> None:
    first = await client.post("/payments", json=BODY, headers={"Idempotency-Key": "k"})
    assert not route_paths
    replays = []
    for way in (FAST, ROUTE):
        headers = {"Idempotency-Key": "k"}
        again = await _post(client, way, json.dumps(BODY).encode(), headers)
        replays.append(sorted(again.headers.items()))
        assert again.headers["Idempotency-Replayed"] == "true"
        assert await again.get_data() == await first.get_data()
        reused = await _answer(client, way, b'{"accountId":"b","amount":1}', **headers)
        assert (reused[0], reused[2]["code"]) == (422, "idempotency_key_reused")
    assert replays[0] == replays[1]


@pytest.mark.parametrize("error", [Overloaded("Full."), DatabaseUnavailable()])
async def test_a_rejection_by_the_writer_is_the_same_on_both_paths(
    app: Quart,
    client: TestClientProtocol,
    route_paths: RoutePaths,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    monkeypatch.setattr(app.extensions[EXTENSION].writer, "create", _raising(error))
    data = json.dumps(BODY).encode()
    fast = await _answer(client, FAST, data, Idempotency_Key="k")
    assert not route_paths
    assert fast == await _answer(client, ROUTE, data, Idempotency_Key="k")
    assert fast[0] == 503


def _raising(*errors: Exception) -> Callable[..., Any]:
    left = list(errors)

    async def create(*_: object) -> None:
        raise left.pop(0) if len(left) > 1 else left[0]

    return create


async def test_an_unexpected_error_is_answered_by_quart(
    app: Quart, client: TestClientProtocol, route_paths: RoutePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.extensions[EXTENSION].writer, "create", _raising(ValueError("secret")))
    status, _, body = await _answer(client, FAST, json.dumps(BODY).encode(), Idempotency_Key="k")
    assert (status, body["code"]) == (500, "internal_error")
    assert route_paths == ["/payments"]


async def _send(
    app: Quart, messages: Sequence[dict[str, Any]], *headers: tuple[bytes, bytes]
) -> list[dict[str, Any]]:
    """Return the app's messages to a client that sends only this."""
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    for message in messages:
        queue.put_nowait(message)
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/payments",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json"), *headers],
    }
    answered: Any = app.asgi_app(scope, queue.get, send)  # type: ignore[arg-type]  # Plain dicts.
    await asyncio.wait_for(answered, WAIT_SECONDS_MAX)
    return sent


def _part(data: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


async def test_a_repeated_key_header_is_rejected(app: Quart, route_paths: RoutePaths) -> None:
    keys = [(b"idempotency-key", b"k")] * 2
    sent = await _send(app, [_part(json.dumps(BODY).encode(), more=False)], *keys)
    assert sent[0]["status"] == 400
    assert route_paths == ["/payments"]


async def test_a_body_in_parts_is_read_as_one(app: Quart, route_paths: RoutePaths) -> None:
    parts = [_part(bytes([byte])) for byte in json.dumps(BODY).encode()]
    sent = await _send(app, [*parts, _part(b"", more=False)], (b"idempotency-key", b"k"))
    assert sent[0]["status"] == 201
    assert not route_paths


async def test_a_client_that_disconnects_within_the_body_gets_no_answer(
    app: Quart, sql: Any
) -> None:
    sent = await _send(
        app, [_part(b'{"acc'), {"type": "http.disconnect"}], (b"idempotency-key", b"k")
    )
    assert sent == []
    assert await sql.fetchval("SELECT count(*) FROM payments") == 0


async def test_a_body_that_does_not_arrive_is_a_408(
    app: Quart, route_paths: RoutePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_path, "BODY_SECONDS_MAX", 0.05)
    sent = await _send(app, [_part(b'{"acc')], (b"idempotency-key", b"k"))
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["code"] == "request_timeout"
    assert not route_paths


async def test_an_error_of_the_route_is_not_retried(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    async def broken(request: Any) -> Any:
        tried.append(request.path)
        raise ValueError("broken")

    monkeypatch.setattr(app, "handle_request", broken)
    with pytest.raises(ValueError, match="broken"):
        await _send(app, [_part(b"x" * (BODY_MAX_BYTES + 1))], (b"idempotency-key", b"k"))
    assert tried == ["/payments"]


async def _add_key(database_url: str, scope: str) -> str:
    engine = create_engine(database_url, application_name="test", pool_size=2)
    try:
        key = new_key()
        async with transaction(engine) as tx:
            await add_key(tx, key, KeyGrant("shop", frozenset({scope}), tenant="acme"))
        return key
    finally:
        await engine.dispose()


@pytest.fixture
async def key(database_url: str) -> str:
    """Return a key that may only create payments."""
    return await _add_key(database_url, PAYMENTS_WRITE)


async def test_a_known_key_takes_the_fast_path_and_is_charged_once(
    api_url_of_database: str, key: str, sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"DATABASE_URL": api_url_of_database, "rate_limit_per_key": "3/hour"}
    app = create_app(ApiSettings.model_validate(settings))
    route_paths = _watched(app, monkeypatch)
    async with app.test_app():
        client = app.test_client()
        data, authorization = json.dumps(BODY).encode(), f"Bearer {key}"
        answers = [
            await _answer(client, FAST, data, Authorization=authorization, Idempotency_Key=f"k{n}")
            for n in range(4)
        ]
        unknown = await _answer(client, FAST, data, Authorization="Bearer x", Idempotency_Key="k")
    assert [status for status, _, _ in answers] == [201, 201, 201, 429]
    lefts = [told["ratelimit"].split(";")[1] for _, told, _ in answers]
    assert lefts == ["r=2", "r=1", "r=0", "r=0"]
    assert answers[0][2]["accountId"] == "acc_1"
    assert await sql.fetchval("SELECT DISTINCT account_id FROM payments") == "acme~acc_1"
    # The first request looks the key up in the database, unless the keys are already loaded.
    assert route_paths in (["/payments"], ["/payments", "/payments"])
    assert unknown[0] == 401


async def test_a_known_key_without_the_scope_creates_nothing(
    api_url_of_database: str, database_url: str, sql: Any
) -> None:
    reader = f"Bearer {await _add_key(database_url, PAYMENTS_READ)}"
    app = create_app(ApiSettings.model_validate({"DATABASE_URL": api_url_of_database}))
    async with app.test_app():
        client = app.test_client()
        read = await client.get("/payments", headers={"Authorization": reader})
        assert read.status_code == 200, "the process knows the key from now on"
        data = json.dumps(BODY).encode()
        status, _, _ = await _answer(client, FAST, data, Authorization=reader, Idempotency_Key="k")
    assert status == 403
    assert await sql.fetchval("SELECT count(*) FROM payments") == 0
