"""Uploads over a real connection: of any size, in bounded memory, without starving payments."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest

from payments_core.server import limits
from payments_core.statements import receive
from testkit.camt_files import ACCOUNT
from testkit.database.sql import Sql
from testkit.waiting import until

SOURCE = {"name": "bank-eur", "accountIdentifier": ACCOUNT, "currency": "EUR"}
MEGABYTE = bytes(1_000_000)
HEAD = b"POST /statements?source=bank-eur HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture
async def http(served: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of the served API; a source exists."""
    async with httpx.AsyncClient(base_url=served.url, timeout=60) as http:
        assert (await http.post("/sources", json=SOURCE)).status_code == 201
        yield http


async def _pay(http: httpx.AsyncClient, key: str) -> int:
    body = {"accountId": "acc_1", "amount": "1.00"}
    return (await http.post("/payments", json=body, headers={"Idempotency-Key": key})).status_code


async def test_a_body_far_above_other_limits_is_stored_whole(
    http: httpx.AsyncClient, sql: Sql
) -> None:
    size = 10 * limits.BODY_BYTES_MAX

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, 100_000):
            yield bytes(min(100_000, size - start))

    answer = await http.post("/statements?source=bank-eur", content=pieces())
    assert (answer.status_code, answer.json()["sizeBytes"]) == (202, size)
    assert await sql.fetchval("SELECT sum(size_bytes) FROM statement_file_chunks") == size
    answer = await http.post("/statements?source=bank-eur", content=bytes(size))
    assert answer.status_code == 200


async def test_a_body_is_read_no_faster_than_it_is_stored(
    served: Any, http: httpx.AsyncClient, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    storing, release = asyncio.Event(), asyncio.Event()
    real = receive._store_chunk

    async def slow(*arguments: Any) -> None:
        storing.set()
        await release.wait()
        await real(*arguments)

    monkeypatch.setattr(receive, "_store_chunk", slow)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    sent = 0
    try:
        writer.write(HEAD % (100 * len(MEGABYTE)))

        async def send() -> None:
            nonlocal sent
            for _ in range(100):
                writer.write(MEGABYTE)
                await writer.drain()
                sent += 1

        sending = asyncio.create_task(send())
        await asyncio.wait_for(storing.wait(), 10)
        for key in ("a", "b", "c"):
            assert await _pay(http, key) == 201, "creation goes on"
        await asyncio.sleep(1)
        assert sent < 20, "the sender must wait"
        release.set()
        line = await asyncio.wait_for(reader.readline(), 60)
        assert line.split()[1] == b"202"
        await sending
    finally:
        writer.close()
    assert await sql.fetchval("SELECT size_bytes FROM statement_files") == 100_000_000


async def test_a_lost_connection_leaves_nothing(
    served: Any, http: httpx.AsyncClient, sql: Sql
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(HEAD % 50_000_000)
    writer.write(MEGABYTE * 5)
    await writer.drain()

    async def has_begun() -> bool:
        return bool(await sql.fetchval("SELECT count(*) FROM statement_uploads"))

    async def is_gone() -> bool:
        return not await has_begun()

    await until(has_begun)
    writer.close()
    await until(is_gone)
    assert await sql.fetchval("SELECT count(*) FROM statement_files") == 0


async def test_a_session_that_ends_during_an_upload_asks_for_a_repetition(
    http: httpx.AsyncClient, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = receive._store_chunk
    stored = 0

    async def store(*arguments: Any) -> None:
        nonlocal stored
        await real(*arguments)
        stored += 1
        if stored == 2:
            raise asyncpg.AdminShutdownError("terminating connection due to administrator command")

    monkeypatch.setattr(receive, "_store_chunk", store)
    answer = await http.post("/statements?source=bank-eur", content=MEGABYTE * 3)
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    for table in ("statement_files", "statement_uploads"):
        assert await sql.fetchval(f"SELECT count(*) FROM {table}") == 0
