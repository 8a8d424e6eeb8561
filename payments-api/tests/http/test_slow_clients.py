"""Slow and hostile clients over raw sockets: each is bounded and does not affect others."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from payments_api.http import json_body
from payments_core.server import limits
from testkit.waiting import WAIT_SECONDS_MAX

PING = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
STREAM = b"GET /payments/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = (
    b"POST /payments HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: %s\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def _connection(served: Any) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _dribble(streams: Streams, data: bytes, pause: float = 0.05) -> bytes:
    """Send one byte at a time until the server ends the connection; return its answer."""
    reader, writer = streams

    async def send() -> None:
        for byte in data:
            writer.write(bytes([byte]))
            await asyncio.sleep(pause)

    sending = asyncio.create_task(send())
    try:
        return await asyncio.wait_for(reader.read(), WAIT_SECONDS_MAX)
    except ConnectionError:
        return b""
    finally:
        sending.cancel()


async def _is_served(served: Any) -> bool:
    async with httpx.AsyncClient(base_url=served.url) as http:
        return (await http.get("/livez")).status_code == 200


async def _status(streams: Streams) -> int:
    line = await asyncio.wait_for(streams[0].readline(), WAIT_SECONDS_MAX)
    return int(line.split()[1]) if line else 0


async def test_slow_headers_time_out(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEADERS_SECONDS_MAX", 0.3)
    async with _connection(served) as streams:
        assert await _dribble(streams, PING[:-2] + b"X: y\r\n" * 1000) == b""
    async with _connection(served) as streams:
        # The next request has the same time limit as the first, complete one.
        streams[1].write(PING)
        assert await _status(streams) == 200
        answer = await _dribble(streams, PING[:-2] + b"X: y\r\n" * 1000)
        assert answer.count(b"HTTP/1.1") == 0
    assert await _is_served(served)


async def test_a_slow_but_honest_client_is_served(served: Any) -> None:
    async with _connection(served) as streams:
        sending = asyncio.create_task(_dribble(streams, PING, 0.005))
        await asyncio.sleep(0.1)
        assert not sending.done()
        sending.cancel()
    async with _connection(served) as (reader, writer):
        for part in (PING[:10], PING[10:30], PING[30:]):
            writer.write(part)
            await asyncio.sleep(0.1)
        assert await _status((reader, writer)) == 200


async def test_a_slow_body_times_out(
    served: Any, sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_body, "BODY_SECONDS_MAX", 0.3)
    async with _connection(served) as streams:
        streams[1].write(POST % (b"slow", 5_000))
        answer = await _dribble(streams, b'{"accountId": "acc_1", ' + b" " * 4_000)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert await sql.fetchval("SELECT count(*) FROM payments") == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"X: y\r\n" * 98, 200),
        (b"X: y\r\n" * 100, 431),
        (b"X: " + b"y" * 15_000 + b"\r\n", 200),
        (b"X: " + b"y" * 17_000 + b"\r\n", 431),
        (b"".join(b"X: %s\r\n" % (b"y" * 1_000) for _ in range(17)), 431),
    ],
)
async def test_headers_are_bounded_in_number_and_size(
    served: Any, headers: bytes, status: int
) -> None:
    async with _connection(served) as streams:
        streams[1].write(PING[:-2] + headers + b"\r\n")
        assert await _status(streams) == status
    assert await _is_served(served)


async def test_an_address_is_bounded_like_headers(served: Any) -> None:
    async with _connection(served) as streams:
        streams[1].write(PING.replace(b"/livez", b"/" + b"a" * 17_000))
        assert await _status(streams) == 431
    assert await _is_served(served)


async def test_trailers_are_bounded_too(served: Any) -> None:
    async with _connection(served) as streams:
        head = POST.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked") % b"k"
        answer = await _dribble(streams, head + b"0\r\n" + b"X: " + b"y" * 100_000, 0)
    assert b" 201 " not in answer
    assert await _is_served(served)


async def test_trailers_share_the_time_limit_of_the_body(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_body, "BODY_SECONDS_MAX", 0.3)
    head = POST.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked") % b"k"
    async with _connection(served) as streams:
        streams[1].write(head + b"0\r\n" + b"X: " + b"y" * 30_000)
        assert await _status(streams) in (408, 431)


async def test_the_rest_of_a_body_after_its_answer_is_read_briefly(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LINGER_SECONDS_MAX", 0.3)
    async with _connection(served) as streams:
        streams[1].write(POST % (b"k", 2_000_000))
        answer = await _dribble(streams, b" " * 10_000)
    assert answer.startswith(b"HTTP/1.1 413 ") or not answer
    assert await _is_served(served)


async def test_a_websocket_is_not_opened(served: Any) -> None:
    asking = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    async with _connection(served) as streams:
        streams[1].write(STREAM[:-2] + asking + key)
        assert await _status(streams) == 400
    assert await _is_served(served)


async def test_a_new_connection_replaces_the_longest_idle_one(serve_api: Any) -> None:
    served = await serve_api(connections_max=5)
    opened = []
    for _ in range(8):
        streams = await asyncio.open_connection("127.0.0.1", served.port)
        opened.append(streams)
        streams[1].write(PING)
        assert await _status(streams) == 200
        await streams[0].readuntil(b"}\n")
    for reader, _ in opened[:3]:
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), WAIT_SECONDS_MAX)
    for streams in opened[3:]:
        streams[1].write(PING)
        assert await _status(streams) == 200
    for _, writer in opened:
        writer.close()


async def test_a_new_connection_is_rejected_when_all_are_active(
    serve_api: Any,
) -> None:
    served = await serve_api(connections_max=3)
    working = []
    for _ in range(3):
        streams = await asyncio.open_connection("127.0.0.1", served.port)
        streams[1].write(STREAM)
        assert await _status(streams) == 200
        working.append(streams)
    async with _connection(served) as refused:
        answer = await asyncio.wait_for(refused[0].read(), WAIT_SECONDS_MAX)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer
    working.pop()[1].close()
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not await _is_served(served):  # noqa: ASYNC110 - the server notices by itself
            await asyncio.sleep(0.02)
    for _, writer in working:
        writer.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), 505),
        (
            PING[:-2] + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
            200,
        ),
        (b"GET /livez HTTP/3.0\r\nHost: localhost\r\n\r\n", 505),
    ],
    ids=["knowing", "upgrading", "unheard of"],
)
async def test_only_http_1_is_accepted(served: Any, request_: bytes, status: int) -> None:
    async with _connection(served) as streams:
        streams[1].write(request_)
        assert await _status(streams) == status


async def test_a_connection_stays_http_1_after_an_ignored_upgrade(
    served: Any,
) -> None:
    asking = PING[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    async with _connection(served) as (reader, writer):
        writer.write(asking + asking)
        await asyncio.sleep(0.1)
        writer.write(PING + PING[:-2] + b"Connection: close\r\n\r\n")
        answers = await asyncio.wait_for(reader.read(), WAIT_SECONDS_MAX)
    assert answers.count(b"HTTP/1.1 200") == 4


async def test_many_pipelined_requests_are_answered_in_turn(served: Any) -> None:
    async with _connection(served) as (reader, writer):
        writer.write(PING * 200 + PING[:-2] + b"Connection: close\r\n\r\n")
        answers = await asyncio.wait_for(reader.read(), 30)
    assert answers.count(b"HTTP/1.1 200") == 201


async def test_a_connection_closed_by_its_client_is_released(served: Any) -> None:
    for request_ in (b"", PING, PING[:20]):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(request_)
        writer.write_eof()
        try:
            # The server's side closes too, long before the idle timeout.
            await asyncio.wait_for(reader.read(), WAIT_SECONDS_MAX)
        finally:
            writer.close()
    assert await _is_served(served)


async def test_pipelined_requests_stop_when_their_client_disconnects(served: Any) -> None:
    async def answered() -> float:
        async with httpx.AsyncClient(base_url=served.url) as http:
            lines = (await http.get("/metrics")).text.splitlines()
        counted = 'http_server_requests_total{http_route="/payments",method="GET"'
        return sum(float(line.split()[1]) for line in lines if line.startswith(counted))

    before = await answered()
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(PING.replace(b"/livez", b"/payments") * 500)
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while await answered() == before:  # noqa: ASYNC110 - the server does not tell
                await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    by_then = await answered()
    assert by_then - before < 400
    await asyncio.sleep(0.3)
    assert await answered() == by_then
