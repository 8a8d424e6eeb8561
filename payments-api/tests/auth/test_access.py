"""Access control: every route with every scope, and every kind of invalid key."""

import asyncio
import contextlib
import itertools
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import uuid4

import asyncpg
import httpx
import pytest
from prometheus_client import REGISTRY
from quart import Quart
from quart.typing import TestClientProtocol

from payments_api.app import create_app
from payments_api.auth import key_cache
from payments_api.auth.caller import JOBS_ADMIN, LEDGER_READ, PAYMENTS_READ, PAYMENTS_WRITE, SCOPES
from payments_api.auth.keys import KeyGrant, add_key, id_of, new_key, revoke_key, rotate_key
from payments_api.auth.middleware import PUBLIC, required_scopes
from payments_api.openapi.document import document
from payments_api.openapi.route_specs import OPERATIONS
from payments_api.operations import routes
from payments_api.settings import ApiSettings
from payments_core.db.engine import create_engine, transaction
from payments_core.server.options import Lifecycle
from payments_local.ports import free_port
from testkit.network.tcp_proxy import TcpProxy
from testkit.waiting import until

Sql: TypeAlias = "asyncpg.Connection[Any]"
Keys: TypeAlias = Callable[..., Awaitable[str]]

SECONDS_MAX = 10.0
PLACEHOLDERS = {"account_id": "acc_1", "payment_id": str(uuid4()), "job_id": "1"}
PUBLIC_ROUTES = {
    *("control.health", "control.livez", "control.readyz", "control.metrics"),
    *("documents.get_openapi", "documents.get_docs"),
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reload keys often, so that the tests need not wait."""
    monkeypatch.setattr(key_cache, "REFRESH_SECONDS", 0.2)
    monkeypatch.setattr(key_cache, "LOOK_AGAIN_SECONDS", 0.05)


@pytest.fixture
async def keys(database_url: str) -> AsyncIterator[Any]:
    """Create and end keys with the owner's role."""
    engine = create_engine(database_url, application_name="test", pool_size=2)
    yield engine
    await engine.dispose()


@pytest.fixture
def make_key(keys: Any) -> Keys:
    """Return `await make_key(scope, ..., tenant=None, expires_at=None)`: a new key."""

    async def make(*scopes: str, **fields: Any) -> str:
        key = new_key()
        async with transaction(keys) as tx:
            await add_key(tx, key, KeyGrant("of a test", frozenset(scopes or SCOPES), **fields))
        return key

    return make


@pytest.fixture
async def kept(api_url_of_database: str) -> AsyncIterator[Quart]:
    """Run the API with keys required. It is stopping, so that an event stream ends at once."""
    lifecycle = Lifecycle()
    settings = ApiSettings.model_validate(
        {"DATABASE_URL": api_url_of_database, "latency_target_seconds": 10}
    )
    app = create_app(settings, lifecycle)
    async with app.test_app():
        lifecycle.stopping.set()
        yield app


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _refusals(reason: str) -> float:
    return REGISTRY.get_sample_value("payments_api_auth_refusals_total", {"reason": reason}) or 0.0


def _requests(app: Quart) -> list[tuple[str, str, str]]:
    """Every route as (endpoint, method, address)."""
    return [
        (
            rule.endpoint,
            method,
            re.sub(r"<(?:\w+:)?(\w+)>", lambda name: PLACEHOLDERS[name[1]], rule.rule),
        )
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static"
        # OPTIONS of an address with several methods is answered by any of its routes.
        for method in sorted((rule.methods or set()) - {"OPTIONS"})
    ]


def test_every_route_says_what_it_needs_and_these_need_nothing() -> None:
    scopes = required_scopes(create_app(ApiSettings(auth="off")))
    assert {name for name, scope in scopes.items() if scope is PUBLIC} == PUBLIC_ROUTES
    assert {scope for scope in scopes.values() if scope} == set(SCOPES)


def test_a_route_that_says_nothing_keeps_the_api_from_starting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(routes.get_audit, "required_scope")
    with pytest.raises(LookupError, match=r"jobs\.get_audit"):
        create_app(ApiSettings(auth="off"))


def test_the_document_tells_each_routes_scope() -> None:
    app = create_app(ApiSettings(auth="on"))
    described, scopes = document(app), required_scopes(app)
    for operation in OPERATIONS:
        (path,) = [r.rule for r in app.url_map.iter_rules() if r.endpoint == operation.endpoint]
        path = re.sub(r"<(?:\w+:)?(\w+)_id>", r"{\1Id}", path)
        for told in described["paths"][path].values():
            if told["operationId"].startswith(operation.endpoint.replace(".", "_")):
                scope = scopes[operation.endpoint]
                assert told["security"] == ([] if scope is PUBLIC else [{"apiKey": [scope]}])
                assert ("401" in told["responses"]) == (scope is not PUBLIC)


@pytest.mark.parametrize("held", [None, *SCOPES])
async def test_a_key_opens_the_routes_of_its_scope_and_no_other(
    kept: Quart, make_key: Keys, held: str | None
) -> None:
    headers = {} if held is None else _bearer(await make_key(held))
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


async def test_without_keys_everybody_may_do_everything(app: Quart) -> None:
    for endpoint, method, address in _requests(app):
        if endpoint != "events.get_events":
            answer = await app.test_client().open(  # type: ignore[call-arg]  # json has a default
                address, method=method
            )
            assert answer.status_code not in (401, 403), address


async def test_what_is_nowhere_is_404_with_and_without_a_key(kept: Quart) -> None:
    assert (await kept.test_client().get("/nowhere")).status_code == 404
    assert (await kept.test_client().delete("/payments")).status_code == 405
    assert (await kept.test_client().get("/static/docs.css")).status_code == 200


async def test_a_refusal_leaves_the_connection_open(serve_api: Any) -> None:
    served = await serve_api(auth="on")
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    for _ in range(3):
        body = b'{"accountId": "acc_1", "amount": "1.00"}'
        head = f"POST /payments HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        async with asyncio.timeout(SECONDS_MAX):
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", answer.lower())
            assert length is not None
            await reader.readexactly(int(length[1]))
        assert answer.startswith(b"HTTP/1.1 401")
    writer.close()


SOMEBODYS = new_key()


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "missing"),
        ("", "malformed"),
        ("Bearer", "malformed"),
        ("Bearer ", "malformed"),
        (f"Basic {SOMEBODYS}", "malformed"),
        (SOMEBODYS, "malformed"),
        (f"Bearer  {SOMEBODYS}", "malformed"),
        (f"Bearer {SOMEBODYS} ", "unknown"),  # Blanks around a header's value are not part of it.
        (f"Bearer {SOMEBODYS}x", "malformed"),
        (f"Bearer {SOMEBODYS[:-1]}", "malformed"),
        (f"Bearer {SOMEBODYS[:-1]}\u00e9", "malformed"),
        ("Bearer " + "pay_" * 2_000, "malformed"),
        (f"Bearer {SOMEBODYS}", "unknown"),
        (f"bearer {SOMEBODYS}", "unknown"),
    ],
    ids=[
        *("missing", "empty", "no key", "blank key", "Basic", "no scheme", "two blanks"),
        *("blanks around", "too long", "too short", "not ASCII", "far too long"),
        *("unknown", "lower-case scheme"),
    ],
)
async def test_what_is_no_key_of_ours_is_refused(
    serve_api: Any, header: str | None, reason: str
) -> None:
    served = await serve_api(auth="on")
    before = _refusals(reason)
    sent = b"" if header is None else b"Authorization: " + header.encode("latin-1") + b"\r\n"
    answer = await served.send_raw(
        b"GET /payments HTTP/1.1\r\nHost: localhost\r\n" + sent + b"\r\n"
    )
    assert (answer.status, answer.json()["code"]) == (401, "unauthorized")
    assert ("invalid_token" in answer.headers["www-authenticate"]) == (reason != "missing")
    assert _refusals(reason) == before + 1


async def test_another_secret_of_a_known_id_is_refused(kept: Quart, make_key: Keys) -> None:
    key = await make_key()
    client = kept.test_client()
    assert (await client.get("/payments", headers=_bearer(key))).status_code == 200
    other = key[:-1] + ("a" if key[-1] != "a" else "b")
    assert (await client.get("/payments", headers=_bearer(other))).status_code == 401


async def test_a_key_works_as_soon_as_it_is_made(kept: Quart, make_key: Keys) -> None:
    client = kept.test_client()
    for _ in range(3):
        answer = await client.get("/payments", headers=_bearer(await make_key(PAYMENTS_READ)))
        assert answer.status_code == 200


async def test_a_key_made_while_the_first_keys_are_read_is_good(
    api_url_of_database: str, make_key: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, loaded, go_on = key_cache.KeyRing._load, asyncio.Event(), asyncio.Event()

    async def slow_load(ring: key_cache.KeyRing, now: float) -> Any:
        keys = await load(ring, now)
        loaded.set()
        await go_on.wait()
        return keys

    monkeypatch.setattr(key_cache.KeyRing, "_load", slow_load)
    engine = create_engine(api_url_of_database, application_name="test", pool_size=2)
    ring = key_cache.KeyRing(engine)
    running = asyncio.create_task(ring.run())
    try:
        await loaded.wait()
        key = await make_key()
        asking = asyncio.create_task(ring.caller_of(f"Bearer {key}"))
        await asyncio.sleep(0)
        go_on.set()
        assert (await asking).key_id == id_of(key)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await engine.dispose()


async def _status_becomes(client: TestClientProtocol, key: str, status: int) -> Any:
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            answer = await client.get("/payments", headers=_bearer(key))
            if answer.status_code == status:
                return await answer.get_json(force=True)
            await asyncio.sleep(0.02)


async def test_a_revoked_key_is_refused_within_moments(
    kept: Quart, make_key: Keys, keys: Any
) -> None:
    key, client = await make_key(), kept.test_client()
    await _status_becomes(client, key, 200)
    before = _refusals("revoked")
    async with transaction(keys) as tx:
        assert await revoke_key(tx, id_of(key) or "")
        assert not await revoke_key(tx, id_of(key) or "")
    assert "revoked" in (await _status_becomes(client, key, 401))["detail"]
    assert _refusals("revoked") > before


async def test_a_key_ends_when_it_expires(kept: Quart, make_key: Keys) -> None:
    client = kept.test_client()
    soon = await make_key(expires_at=datetime.now(UTC) + timedelta(seconds=1.5))
    await _status_becomes(client, soon, 200)
    assert "expired" in (await _status_becomes(client, soon, 401))["detail"]


async def test_a_rotated_key_lives_on_for_its_grace(kept: Quart, make_key: Keys, keys: Any) -> None:
    old, client = await make_key(PAYMENTS_READ), kept.test_client()
    await _status_becomes(client, old, 200)
    async with transaction(keys) as tx:
        new = await rotate_key(tx, id_of(old) or "", timedelta(seconds=2))
    await _status_becomes(client, new, 200)
    assert (await client.get("/payments", headers=_bearer(old))).status_code == 200
    assert (await client.get("/jobs", headers=_bearer(new))).status_code == 403
    await _status_becomes(client, old, 401)
    assert (await client.get("/payments", headers=_bearer(new))).status_code == 200


async def test_an_event_stream_ends_when_its_key_is_revoked(
    serve_api: Any, make_key: Keys, keys: Any
) -> None:
    served = await serve_api(auth="on")
    key, stays = await make_key(PAYMENTS_READ), await make_key(PAYMENTS_READ)
    async with (
        httpx.AsyncClient(base_url=served.url, timeout=SECONDS_MAX) as http,
        http.stream("GET", "/payments/events", headers=_bearer(key)) as stream,
        http.stream("GET", "/payments/events", headers=_bearer(stays)) as other,
        asyncio.timeout(SECONDS_MAX),
    ):
        async with transaction(keys) as tx:
            await revoke_key(tx, id_of(key) or "")
        async for _ in stream.aiter_bytes():
            pass
        (feed,) = [served.app.extensions["payments_api"].events]
        assert feed.readers == 1
        assert other.status_code == 200


async def test_while_postgres_is_away_keys_count_for_their_lifetime_then_503(
    database_proxy: TcpProxy, proxied_url: str, make_key: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_cache, "LIFETIME_SECONDS", 3.0)
    monkeypatch.setattr(key_cache, "WAIT_SECONDS_MAX", 0.2)
    app = create_app(ApiSettings.model_validate({"DATABASE_URL": proxied_url}))
    key = await make_key(PAYMENTS_WRITE)
    async with app.test_app():
        client = app.test_client()

        async def code(sent: str) -> tuple[int, str]:
            # A body that is no JSON: a request that passes the check gets 415, without Postgres.
            answer = await client.post("/payments", data=b"{", headers=_bearer(sent))
            return answer.status_code, (await answer.get_json(force=True))["code"]

        async def keys_are_read() -> bool:
            return bool(app.extensions["payments_api"].keys.fresh)

        await until(keys_are_read)
        assert (await code(key))[0] == 415
        database_proxy.cut()
        assert (await code(key))[0] == 415
        # Without Postgres it is unknown whether this key was created a moment ago.
        assert await code(new_key()) == (503, "database_unavailable")

        async def ends(status: int) -> None:
            async with asyncio.timeout(SECONDS_MAX):
                for pause in itertools.repeat(0.05):
                    if (await code(key))[0] != status:
                        return
                    await asyncio.sleep(pause)

        await ends(415)
        assert await code(key) == (503, "database_unavailable")
        database_proxy.mend()
        await ends(503)
        assert (await code(key))[0] == 415


async def test_a_flood_of_unknown_keys_floods_neither_postgres_nor_memory(
    kept: Quart, make_key: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_cache, "MISSING_MAX", 50)
    ring, client, good = kept.extensions["payments_api"].keys, kept.test_client(), await make_key()
    await _status_becomes(client, good, 200)
    loads = ring._began
    began = asyncio.get_running_loop().time()
    asked = (client.get("/payments", headers=_bearer(new_key())) for _ in range(300))
    answers = await asyncio.gather(*asked)
    took = asyncio.get_running_loop().time() - began
    assert {answer.status_code for answer in answers} == {401}
    assert len(ring._missing) <= 50
    assert ring._began - loads <= took / key_cache.LOOK_AGAIN_SECONDS + 2
    assert (await client.get("/payments", headers=_bearer(good))).status_code == 200


async def test_a_known_key_costs_no_query(kept: Quart, make_key: Keys) -> None:
    client, ring = kept.test_client(), kept.extensions["payments_api"].keys
    key = await make_key(JOBS_ADMIN)
    assert (await client.get("/payments", headers=_bearer(key))).status_code == 403
    loads, began = ring._began, asyncio.get_running_loop().time()
    for _ in range(100):
        assert (await client.get("/payments", headers=_bearer(key))).status_code == 403
    took = asyncio.get_running_loop().time() - began
    assert ring._began - loads <= took / key_cache.REFRESH_SECONDS + 1


async def test_an_api_is_ready_once_it_knows_the_keys(
    api_url_of_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_read = asyncio.Event()
    load = key_cache.KeyRing._load

    async def late(ring: Any, now: float) -> Any:
        await may_read.wait()
        return await load(ring, now)

    monkeypatch.setattr(key_cache.KeyRing, "_load", late)
    app = create_app(
        ApiSettings.model_validate(
            {"DATABASE_URL": api_url_of_database, "latency_target_seconds": 10}
        )
    )
    async with app.test_app():
        answer = await app.test_client().get("/readyz")
        assert answer.status_code == 503
        assert "API keys" in (await answer.get_json(force=True))["detail"]
        may_read.set()
        async with asyncio.timeout(SECONDS_MAX):
            for pause in itertools.repeat(0.02):
                if (await app.test_client().get("/readyz")).status_code == 200:
                    break
                await asyncio.sleep(pause)


async def test_use_is_written_down_for_many_keys_at_once_and_not_for_each_request(
    kept: Quart, make_key: Keys, sql: Sql
) -> None:
    made = [await make_key(LEDGER_READ, JOBS_ADMIN) for _ in range(3)]
    ring, client = kept.extensions["payments_api"].keys, kept.test_client()
    for key in made[:2]:
        assert (await client.get("/jobs/stats", headers=_bearer(key))).status_code == 200
    written = "SELECT id FROM api_keys WHERE last_used_at IS NOT NULL"
    assert await sql.fetch(written) == []
    await ring.flush_used()
    assert {row["id"] for row in await sql.fetch(written)} == {id_of(key) for key in made[:2]}
    before = await sql.fetch("SELECT id, last_used_at FROM api_keys ORDER BY id")
    await ring.flush_used()
    assert await sql.fetch("SELECT id, last_used_at FROM api_keys ORDER BY id") == before


async def test_what_is_stored_of_a_key_does_not_hold_it(make_key: Keys, sql: Sql) -> None:
    key = await make_key()
    secret = key.rpartition("_")[2]
    (row,) = await sql.fetch("SELECT api_keys::text FROM api_keys")
    for start in range(len(secret) - 7):
        part = secret[start : start + 8]
        assert part not in row[0]
        assert part.encode().hex() not in row[0]


async def test_a_key_has_its_own_quota_where_there_is_one(serve_api: Any, make_key: Keys) -> None:
    served = await serve_api(auth="on", rate_limit_per_key="2/hour")
    one, other = await make_key(), await make_key()
    async with httpx.AsyncClient(base_url=served.url) as http:

        async def status(key: str) -> int:
            return (await http.get("/payments", headers=_bearer(key))).status_code

        assert [await status(one) for _ in range(3)] == [200, 200, 429]
        assert await status(other) == 200


async def test_one_key_may_not_take_all_event_streams_from_many_addresses(
    serve_api: Any, make_key: Keys
) -> None:
    served = await serve_api(
        auth="on",
        event_readers_per_address_max=2,
        event_readers_per_key_max=2,
        trusted_proxies="127.0.0.1",
    )
    one, other = await make_key(), await make_key()
    async with httpx.AsyncClient(base_url=served.url) as http, contextlib.AsyncExitStack() as open_:

        async def opened(key: str, address: str) -> httpx.Response:
            headers = _bearer(key) | {"X-Forwarded-For": address}
            return await open_.enter_async_context(
                http.stream("GET", "/payments/events", headers=headers)
            )

        of_one = [await opened(one, f"192.0.2.{n}") for n in range(3)]
        assert [answer.status_code for answer in of_one] == [200, 200, 429]
        refused = of_one[-1]
        await refused.aread()
        assert refused.json()["code"] == "too_many_streams"
        assert "API key" in refused.json()["detail"]
        assert (await opened(other, "192.0.2.9")).status_code == 200


async def test_a_key_is_in_no_log_metric_or_answer(
    api_url_of_database: str, make_key: Keys
) -> None:
    key, reader, unknown = await make_key(), await make_key(PAYMENTS_READ), new_key()
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "payments_api", "serve"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={
            **os.environ,
            "DATABASE_URL": api_url_of_database,
            "PAYMENTS_API_AUTH": "on",
            "PAYMENTS_API_PORT": str(port),
            "LOG_LEVEL": "DEBUG",
        },
    )
    said = ""
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            for attempt in range(200):
                with contextlib.suppress(httpx.TransportError):
                    await http.get("/livez")
                    break
                await asyncio.sleep(0.05 + attempt / 1_000)
            statuses = set()
            for sent in (key, reader, unknown):
                for header in (f"Bearer {sent}", sent, f"Basic {sent}", f"Bearer {sent}{sent}"):
                    for method, path in (
                        ("GET", "/payments"),
                        ("POST", "/payments"),
                        ("GET", "/jobs"),
                        ("GET", "/nowhere"),
                        ("GET", f"/accounts/{'a' * 200}/balance"),
                    ):
                        headers = {"Authorization": header, "Idempotency-Key": "k"}
                        body = b"{" if method == "POST" else None
                        answer = await http.request(method, path, headers=headers, content=body)
                        statuses.add(answer.status_code)
                        said += answer.text + str(answer.headers)
            said += (await http.get("/metrics")).text
    finally:
        process.terminate()
        said += (await asyncio.wait_for(process.communicate(), 20))[0].decode()
    assert statuses == {200, 401, 403, 404, 415, 422}
    assert "http_request" in said
    # Who it was is told, by the key's public id.
    assert f'"key_id": "{id_of(key)}"' in said
    for sent in (key, reader, unknown):
        assert sent.rpartition("_")[2] not in said
