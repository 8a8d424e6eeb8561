"""The life of a key: it works at once, and ends when it is revoked, rotated or expires."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import httpx
import pytest
from quart import Quart

from payments_api.app import create_app
from payments_api.auth import key_cache
from payments_api.auth.caller import PAYMENTS_READ, PAYMENTS_WRITE
from payments_api.auth.keys import id_of, new_key, revoke_key, rotate_key
from payments_api.settings import ApiSettings
from payments_core.db.engine import create_engine, transaction
from testkit.network.tcp_proxy import TcpProxy
from testkit.waiting import WAIT_SECONDS_MAX, until

from .conftest import bearer, refusals, status_becomes

Keys: TypeAlias = Callable[..., Awaitable[str]]


async def test_a_key_works_as_soon_as_it_is_created(kept: Quart, make_key: Keys) -> None:
    client = kept.test_client()
    for _ in range(3):
        answer = await client.get("/payments", headers=bearer(await make_key(PAYMENTS_READ)))
        assert answer.status_code == 200


async def test_a_key_created_during_the_first_load_works(
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


async def test_a_revoked_key_is_soon_rejected(kept: Quart, make_key: Keys, keys: Any) -> None:
    key, client = await make_key(), kept.test_client()
    await status_becomes(client, key, 200)
    before = refusals("revoked")
    async with transaction(keys) as tx:
        assert await revoke_key(tx, id_of(key) or "")
        assert not await revoke_key(tx, id_of(key) or "")
    assert "revoked" in (await status_becomes(client, key, 401))["detail"]
    assert refusals("revoked") > before


async def test_a_key_ends_when_it_expires(kept: Quart, make_key: Keys) -> None:
    client = kept.test_client()
    # Longer than a busy machine takes to load it.
    soon = await make_key(expires_at=datetime.now(UTC) + timedelta(seconds=5))
    await status_becomes(client, soon, 200)
    assert "expired" in (await status_becomes(client, soon, 401))["detail"]


async def test_a_rotated_key_works_during_its_grace_period(
    kept: Quart, make_key: Keys, keys: Any
) -> None:
    old, client = await make_key(PAYMENTS_READ), kept.test_client()
    await status_becomes(client, old, 200)
    async with transaction(keys) as tx:
        new, _ = await rotate_key(tx, id_of(old) or "", timedelta(seconds=5))
    await status_becomes(client, new, 200)
    assert (await client.get("/payments", headers=bearer(old))).status_code == 200
    assert (await client.get("/jobs", headers=bearer(new))).status_code == 403
    await status_becomes(client, old, 401)
    assert (await client.get("/payments", headers=bearer(new))).status_code == 200


async def test_an_event_stream_ends_when_its_key_is_revoked(
    serve_api: Any, make_key: Keys, keys: Any
) -> None:
    served = await serve_api(auth="on")
    key, stays = await make_key(PAYMENTS_READ), await make_key(PAYMENTS_READ)
    async with (
        httpx.AsyncClient(base_url=served.url, timeout=WAIT_SECONDS_MAX) as http,
        http.stream("GET", "/payments/events", headers=bearer(key)) as stream,
        http.stream("GET", "/payments/events", headers=bearer(stays)) as other,
        asyncio.timeout(WAIT_SECONDS_MAX),
    ):
        async with transaction(keys) as tx:
            await revoke_key(tx, id_of(key) or "")
        async for _ in stream.aiter_bytes():
            pass
        (feed,) = [served.app.extensions["payments_api"].events]
        assert feed.readers == 1
        assert other.status_code == 200


async def test_known_keys_outlive_an_outage_for_a_time_then_503(
    database_proxy: TcpProxy, proxied_url: str, make_key: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_cache, "LIFETIME_SECONDS", 3.0)
    monkeypatch.setattr(key_cache, "WAIT_SECONDS_MAX", 0.2)
    app = create_app(ApiSettings.model_validate({"DATABASE_URL": proxied_url}))
    key = await make_key(PAYMENTS_WRITE)
    async with app.test_app():
        client = app.test_client()

        async def code(sent: str) -> tuple[int, str]:
            # The body is not JSON: a request that passes authentication gets 415, without Postgres.
            answer = await client.post("/payments", data=b"{", headers=bearer(sent))
            return answer.status_code, (await answer.get_json(force=True))["code"]

        async def keys_are_read() -> bool:
            return bool(app.extensions["payments_api"].keys.fresh)

        await until(keys_are_read)
        assert (await code(key))[0] == 415
        database_proxy.cut()
        assert (await code(key))[0] == 415
        # Without Postgres the API cannot know whether this key has just been created.
        assert await code(new_key()) == (503, "database_unavailable")

        async def ends(status: int) -> None:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                for pause in itertools.repeat(0.05):
                    if (await code(key))[0] != status:
                        return
                    await asyncio.sleep(pause)

        await ends(415)
        assert await code(key) == (503, "database_unavailable")
        database_proxy.mend()
        await ends(503)
        assert (await code(key))[0] == 415


async def test_an_api_is_ready_once_the_keys_are_loaded(
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
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            for pause in itertools.repeat(0.02):
                if (await app.test_client().get("/readyz")).status_code == 200:
                    break
                await asyncio.sleep(pause)
