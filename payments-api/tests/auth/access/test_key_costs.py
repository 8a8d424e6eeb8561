"""Keys in bulk: bounded queries and memory, and quotas and streams of one key."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import httpx
import pytest
from quart import Quart

from payments_api.auth import key_cache
from payments_api.auth.caller import JOBS_ADMIN, LEDGER_READ
from payments_api.auth.keys import id_of, new_key
from testkit.database.sql import Sql

from .conftest import bearer, status_becomes

Keys: TypeAlias = Callable[..., Awaitable[str]]


async def test_a_flood_of_unknown_keys_uses_bounded_queries_and_memory(
    kept: Quart, make_key: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_cache, "MISSING_MAX", 50)
    ring, client, good = kept.extensions["payments_api"].keys, kept.test_client(), await make_key()
    await status_becomes(client, good, 200)
    loads = ring._began
    began = asyncio.get_running_loop().time()
    asked = (client.get("/payments", headers=bearer(new_key())) for _ in range(300))
    answers = await asyncio.gather(*asked)
    took = asyncio.get_running_loop().time() - began
    assert {answer.status_code for answer in answers} == {401}
    assert len(ring._missing) <= 50
    assert ring._began - loads <= took / key_cache.LOOK_AGAIN_SECONDS + 2
    assert (await client.get("/payments", headers=bearer(good))).status_code == 200


async def test_a_known_key_costs_no_query(kept: Quart, make_key: Keys) -> None:
    client, ring = kept.test_client(), kept.extensions["payments_api"].keys
    key = await make_key(JOBS_ADMIN)
    assert (await client.get("/payments", headers=bearer(key))).status_code == 403
    loads, began = ring._began, asyncio.get_running_loop().time()
    for _ in range(100):
        assert (await client.get("/payments", headers=bearer(key))).status_code == 403
    took = asyncio.get_running_loop().time() - began
    assert ring._began - loads <= took / key_cache.REFRESH_SECONDS + 1


async def test_last_use_is_stored_for_many_keys_at_once(
    kept: Quart, make_key: Keys, sql: Sql
) -> None:
    made = [await make_key(LEDGER_READ, JOBS_ADMIN) for _ in range(3)]
    ring, client = kept.extensions["payments_api"].keys, kept.test_client()
    for key in made[:2]:
        assert (await client.get("/jobs/stats", headers=bearer(key))).status_code == 200
    written = "SELECT id FROM api_keys WHERE last_used_at IS NOT NULL"
    assert await sql.fetch(written) == []
    await ring.flush_used()
    assert {row["id"] for row in await sql.fetch(written)} == {id_of(key) for key in made[:2]}
    before = await sql.fetch("SELECT id, last_used_at FROM api_keys ORDER BY id")
    await ring.flush_used()
    assert await sql.fetch("SELECT id, last_used_at FROM api_keys ORDER BY id") == before


async def test_each_key_has_its_own_quota(serve_api: Any, make_key: Keys) -> None:
    served = await serve_api(auth="on", rate_limit_per_key="2/hour")
    one, other = await make_key(), await make_key()
    async with httpx.AsyncClient(base_url=served.url) as http:

        async def status(key: str) -> int:
            return (await http.get("/payments", headers=bearer(key))).status_code

        assert [await status(one) for _ in range(3)] == [200, 200, 429]
        assert await status(other) == 200


async def test_one_key_cannot_take_all_event_streams_from_many_addresses(
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
            headers = bearer(key) | {"X-Forwarded-For": address}
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
