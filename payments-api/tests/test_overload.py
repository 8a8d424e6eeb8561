"""More than can be done: refused at once and cheaply, and nothing that was accepted is lost."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from set_clock import Clock
from waiting import until

from payments_api import overload
from payments_api.app import ADMISSION
from payments_api.overload import ConcurrencyLimit

WAITS_FOR_A_LOCK = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"
BODY = {"accountId": "acc_1", "amount": 1}


def _serve(limit: ConcurrencyLimit, clock: Clock, seconds: float, count: int = 1) -> int:
    """Let as many in at once as may, which takes so long; how many were let in."""
    began = [at for at in (limit.admit() for _ in range(count)) if at is not None]
    clock.now += seconds
    for at in began:
        limit.answered(at)
    return len(began)


def test_the_limit_shrinks_while_nobody_is_quick_and_grows_when_somebody_is_again() -> None:
    clock = Clock()
    limit = ConcurrencyLimit(0.2, 10, 100, clock)
    assert _serve(limit, clock, 0.5, 200) == 100
    for _ in range(30):
        _serve(limit, clock, 0.5, 200)
    assert limit.limit == 10
    for _ in range(30):
        assert _serve(limit, clock, 0.15, 200) <= 100
    assert limit.limit == 100


def test_one_slow_request_among_quick_ones_is_no_overload() -> None:
    clock = Clock()
    limit = ConcurrencyLimit(0.2, 10, 100, clock)
    for _ in range(50):
        slow = limit.admit()
        assert slow is not None
        _serve(limit, clock, 0.05, 5)
        clock.now += 1
        _serve(limit, clock, 0.05, 5)
        limit.answered(slow)
    assert limit.limit == 100


def test_when_nothing_is_answered_only_a_few_may_wait() -> None:
    clock = Clock()
    limit = ConcurrencyLimit(0.2, 10, 100, clock)
    waiting = [limit.admit() for _ in range(20)]
    clock.now += overload.STALLED_SECONDS + 0.1
    assert limit.admit() is None
    for began in waiting:
        assert began is not None
        limit.answered(began)
    assert limit.admit() is not None


def test_a_silent_night_is_no_stall() -> None:
    clock = Clock()
    limit = ConcurrencyLimit(0.2, 2, 100, clock)
    _serve(limit, clock, 0.01)
    clock.now += 86_400
    assert [limit.admit() is not None for _ in range(5)] == [True] * 5


async def _post(http: httpx.AsyncClient) -> httpx.Response:
    return await http.post("/payments", json=BODY, headers={"Idempotency-Key": str(uuid4())})


@pytest.fixture
async def overloaded(serve_api: Any, database_url: str) -> Any:
    """An API that takes 20 requests at once, its writing blocked; and what lets it go on."""
    served = await serve_api(requests_max=20)
    blocker = await asyncpg.connect(database_url)
    await blocker.execute("BEGIN; LOCK TABLE payments IN EXCLUSIVE MODE")
    yield served, blocker
    await blocker.close()


async def test_what_is_too_much_gets_503_and_what_was_accepted_exists(
    overloaded: Any, sql: "asyncpg.Connection[Any]"
) -> None:
    served, blocker = overloaded
    pool = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=served.url, limits=pool, timeout=30) as http:
        posting = [asyncio.create_task(_post(http)) for _ in range(60)]
        _, waiting = await asyncio.wait(posting, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        while len(waiting) > 20:
            _, waiting = await asyncio.wait(
                waiting, timeout=30, return_when=asyncio.FIRST_COMPLETED
            )
        # Those who look after it get in, also now.
        for path in (
            "/livez",
            "/readyz",
            "/metrics",
            "/health",
            "/jobs",
            "/jobs/stats",
            "/workers",
        ):
            assert (await http.get(path)).status_code == 200, path
        await blocker.execute("ROLLBACK")
        answers = await asyncio.gather(*posting)
        assert (await _post(http)).status_code == 201, "it recovers at once"
        metrics = (await http.get("/metrics")).text
    accepted = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    refused = [answer for answer in answers if answer.status_code != 201]
    assert (len(accepted), len(refused)) == (20, 40)
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert answer.headers["Retry-After"] == "1"
        assert answer.headers["Content-Type"] == "application/problem+json"
    stored = {row[0] for row in await sql.fetch("SELECT id::text FROM payments")}
    assert stored >= set(accepted)
    assert len(stored) == 21
    assert 'payments_rejected_total{reason="overloaded"}' in metrics


async def test_reads_that_hang_leave_connections_for_writers_and_operators(
    serve_api: Any, database_url: str
) -> None:
    served = await serve_api(pool_size=5)
    blocker = await asyncpg.connect(database_url)
    await blocker.execute("BEGIN; LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
    try:
        async with httpx.AsyncClient(base_url=served.url, timeout=30) as http:
            hanging = [asyncio.create_task(http.get("/accounts/acc_1/balance")) for _ in range(20)]
            await until(lambda: blocker.fetchval(WAITS_FOR_A_LOCK))
            assert (await http.get("/readyz")).status_code == 200
            assert (await http.get("/jobs/stats")).status_code == 200
            assert (await _post(http)).status_code == 201
            await blocker.execute("ROLLBACK")
            assert {(await answer).status_code for answer in hanging} <= {200, 503}
            assert (await http.get("/accounts/acc_1/balance")).status_code == 200
    finally:
        await blocker.close()


POST = (
    b"POST /payments HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\n"
    b"Content-Type: application/json\r\n%s\r\n\r\n%s"
)
JSON = b'{"accountId": "acc_1", "amount": 1}'


async def test_a_refusal_leaves_the_connection_as_it_was(overloaded: Any, sql: Any) -> None:
    served, blocker = overloaded
    async with httpx.AsyncClient(base_url=served.url, timeout=30) as http:
        posting = [asyncio.create_task(_post(http)) for _ in range(20)]
        writes = served.app.extensions[ADMISSION].writes
        await until(lambda: _is(writes.under_way == 20))
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        whole = POST % (b"Content-Length: %d" % len(JSON), JSON)
        chunked = POST % (
            b"Transfer-Encoding: chunked",
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(JSON), JSON),
        )
        # In one piece, in two, two at once, and chunked: one answer for each.
        for parts, answers in (
            ((whole,), 1),
            ((whole[:90], whole[90:]), 1),
            ((whole * 2,), 2),
            ((chunked,), 1),
        ):
            for part in parts:
                writer.write(part)
                await asyncio.sleep(0.05)
            for _ in range(answers):
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                assert head.startswith(b"HTTP/1.1 503 ")
                assert b"retry-after: 1\r\n" in head.lower()
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                assert b'"overloaded"' in await reader.readexactly(length)
        await blocker.execute("ROLLBACK")
        await asyncio.gather(*posting)
        writer.write(whole)
        assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 201 ")
        writer.close()
    assert await sql.fetchval("SELECT count(*) FROM payments") == 21


async def _is(condition: bool) -> bool:
    return condition
