"""Under overload requests are rejected at once and cheaply, and no accepted payment is lost."""

import asyncio
import socket
import time
from contextlib import suppress
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from payments_api.limits.admission import Admission
from payments_api.limits.concurrency import ConcurrencyLimit
from payments_core.server import limits as bounds
from payments_core.server import options, run
from testkit.database.sql import Sql
from testkit.waiting import WAIT_SECONDS_MAX, until

WAITS_FOR_A_LOCK = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"


BODY = {"accountId": "acc_1", "amount": 1}


def _writes(served: Any) -> ConcurrencyLimit:
    layer = served.app.asgi_app
    while not isinstance(layer, Admission):
        layer = layer._inner
    return layer.writes


async def _post(http: httpx.AsyncClient) -> httpx.Response:
    return await http.post("/payments", json=BODY, headers={"Idempotency-Key": str(uuid4())})


@pytest.fixture
async def overloaded(serve_api: Any, database_url: str) -> Any:
    """Run an API that admits 20 requests, its writes blocked, and the function to unblock it."""
    served = await serve_api(requests_max=20)
    blocker = await asyncpg.connect(database_url)
    await blocker.execute("BEGIN; LOCK TABLE payments IN EXCLUSIVE MODE")
    yield served, blocker
    await blocker.close()


async def test_excess_requests_get_503_and_accepted_payments_exist(
    overloaded: Any, sql: Sql
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
        # Operators' requests are admitted even now.
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


async def test_hanging_reads_leave_connections_for_writers_and_operators(
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
    b"POST /payments HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\n"
    b"Content-Type: application/json\r\n%s\r\n\r\n%s"
)


JSON = b'{"accountId": "acc_1", "amount": 1}'


WHOLE = POST % (b"Content-Length: %d" % len(JSON), JSON)


CHUNKED = POST % (b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(JSON), JSON))


BOTH = POST % (
    b"Transfer-Encoding: chunked\r\nContent-Length: %d" % (len(JSON) + 15),
    b"%02x\r\n%s\r\n0\r\n\r\n    " % (len(JSON), JSON),
)


CLOSING = POST % (b"Connection: close\r\nContent-Length: %d" % len(JSON), JSON)


@pytest.fixture
async def full(overloaded: Any) -> Any:
    """The same with 20 requests in progress; awaiting their answers unblocks them."""
    served, blocker = overloaded
    async with httpx.AsyncClient(base_url=served.url, timeout=30) as http:
        posting = [asyncio.create_task(_post(http)) for _ in range(20)]
        writes = _writes(served)
        await until(lambda: _is(writes.under_way == 20))

        async def let_go() -> set[int]:
            await blocker.execute("ROLLBACK")
            return {answer.status_code for answer in await asyncio.gather(*posting)}

        yield served, let_go
        await let_go()


async def _answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return the head and body of the next answer."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_SECONDS_MAX)
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    return head, await asyncio.wait_for(reader.readexactly(length), WAIT_SECONDS_MAX)


async def _refused(reader: asyncio.StreamReader) -> None:
    head, body = await _answer(reader)
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in head.lower()
    assert b'"overloaded"' in body


async def test_a_rejection_leaves_the_connection_usable(full: Any, sql: Any) -> None:
    served, let_go = full
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    # In one segment, in two, two requests in one, chunked, and whole again: one answer each.
    for parts, answers in (
        ((WHOLE,), 1),
        ((WHOLE[:90], WHOLE[90:]), 1),
        ((WHOLE * 2,), 2),
        ((CHUNKED,), 1),
        ((WHOLE,), 1),
    ):
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.05)
        for _ in range(answers):
            await _refused(reader)
    assert await let_go() == {201}
    writer.write(WHOLE)
    assert (await _answer(reader))[0].startswith(b"HTTP/1.1 201 ")
    writer.close()
    assert await sql.fetchval("SELECT count(*) FROM payments") == 21


async def test_a_rejection_never_overtakes_an_earlier_answer(full: Any, sql: Any) -> None:
    served, let_go = full
    writes = _writes(served)
    writes.limit += 1
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(WHOLE)
    await until(lambda: _is(writes.under_way == 21))
    for _ in range(3):
        writer.write(WHOLE)
        await asyncio.sleep(0.05)
    assert await let_go() == {201}
    answers = [await _answer(reader) for _ in range(4)]
    assert answers[0][0].startswith(b"HTTP/1.1 201 ")
    writer.close()
    assert await sql.fetchval("SELECT count(*) FROM payments") == 21


@pytest.mark.parametrize("request_", [BOTH, CLOSING], ids=["both lengths", "closing"])
async def test_unusual_requests_are_left_to_the_server(full: Any, request_: bytes) -> None:
    served, _ = full
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(request_)
    answer = await asyncio.wait_for(
        reader.read(), WAIT_SECONDS_MAX
    )  # Read to the connection's end.
    assert answer.startswith((b"HTTP/1.1 503 ", b"HTTP/1.1 400 "))
    assert answer.count(b"HTTP/1.1 ") <= 2
    writer.close()


async def test_rejections_to_a_client_that_reads_nothing_are_bounded(
    serve_api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_small_buffers(options: options.ServeOptions) -> socket.socket:
        listener = listening_socket(options)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        return listener

    listening_socket = run.listening_socket
    monkeypatch.setattr(run, "listening_socket", with_small_buffers)
    served = await serve_api()
    _writes(served).limit = 0
    before = await _refusals(served)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(("127.0.0.1", served.port))
        client.setblocking(False)
        for _ in range(1_200):
            with suppress(BlockingIOError):
                client.send(WHOLE)
            await asyncio.sleep(0.001)  # Otherwise several would arrive as one.
        assert 100 < await _refusals(served) - before < 600


async def _refusals(served: Any) -> float:
    async with httpx.AsyncClient(base_url=served.url) as http:
        lines = (await http.get("/metrics")).text.splitlines()
    counted = 'payments_rejected_total{reason="overloaded"} '
    return sum(float(line.removeprefix(counted)) for line in lines if line.startswith(counted))


async def test_a_rejected_connection_does_not_count_as_idle(
    serve_api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "KEEP_ALIVE_SECONDS", 1)
    served = await serve_api(requests_max=1, connections_max=2)
    _writes(served).limit = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    silent, other = await asyncio.open_connection("127.0.0.1", served.port)
    for _ in range(8):
        writer.write(WHOLE)
        await _refused(reader)
        await asyncio.sleep(0.25)
    assert await asyncio.wait_for(silent.read(), WAIT_SECONDS_MAX) == b"", "it was idle"
    assert not reader.at_eof()
    before = time.monotonic()
    assert await asyncio.wait_for(reader.read(), WAIT_SECONDS_MAX) == b"", "now it is too"
    assert 0.3 < time.monotonic() - before < 3
    writer.close()
    other.close()


async def test_a_just_rejected_connection_is_not_the_first_to_be_replaced(
    serve_api: Any,
) -> None:
    served = await serve_api(connections_max=3)
    _writes(served).limit = 0
    opened = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(3)]
    for reader, writer in opened:
        writer.write(WHOLE)
        await _refused(reader)
    first_reader, first = opened[0]
    first.write(WHOLE)
    await _refused(first_reader)
    _, another = await asyncio.open_connection("127.0.0.1", served.port)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(opened[1][0].readexactly(1), WAIT_SECONDS_MAX)
    first.write(WHOLE)
    await _refused(first_reader)
    for writer in (*(writer for _, writer in opened), another):
        writer.close()


async def _is(condition: bool) -> bool:
    return condition
