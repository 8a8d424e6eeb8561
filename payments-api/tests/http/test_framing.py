"""Request smuggling over a raw socket: N requests get at most N answers, each its own.

Each trick makes a lenient parser see another number of requests than a strict one. A proxy that
pools connections would hand the surplus answer to another client.
"""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from payments_core.server import limits
from testkit.database.sql import Sql
from testkit.waiting import WAIT_SECONDS_MAX

JSON = b'{"accountId": "acc_1", "amount": 1}'
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
PING = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = PING.replace(b"Host", b"Connection: close\r\nHost")


def _post(*headers: bytes, body: bytes = JSON, line: bytes = b"POST /payments HTTP/1.1") -> bytes:
    common = (b"Host: localhost", b"Idempotency-Key: k", b"Content-Type: application/json")
    return b"\r\n".join((line, *common, *headers, b"", body))


def _get(*headers: bytes, line: bytes = b"GET /livez HTTP/1.1") -> bytes:
    return b"\r\n".join((line, *(headers or (b"Host: localhost",)), b"", b""))


def _chunks(*chunks: bytes) -> bytes:
    return b"".join(chunks) + b"0\r\n\r\n"


LENGTH = b"Content-Length: %d" % len(JSON)
CHUNKED = b"Transfer-Encoding: chunked"
ONE_CHUNK = b"%x\r\n%s\r\n" % (len(JSON), JSON)
LINE_10 = b"POST /payments HTTP/1.0"

# bytes sent, statuses answered; after a framing error the connection ends
TRICKS: dict[str, tuple[bytes, list[int]]] = {
    "length and chunked": (_post(LENGTH, CHUNKED, body=_chunks(ONE_CHUNK)), [400]),
    "chunked and length": (
        _post(CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n" + SMUGGLED),
        [400],
    ),
    "length and an unknown coding": (_post(LENGTH, b"Transfer-Encoding: identity"), [501]),
    "two lengths that differ": (_post(b"Content-Length: 0", LENGTH, body=SMUGGLED), [400]),
    "two equal lengths": (_post(LENGTH, LENGTH), [400]),
    "a list of lengths": (_post(b"Content-Length: 35, 35"), [400]),
    "a signed length": (_post(b"Content-Length: +35"), [400]),
    "a negative length": (_post(b"Content-Length: -1"), [400]),
    "a length with a space in it": (_post(b"Content-Length: 3 5"), [400]),
    "a hexadecimal length": (_post(b"Content-Length: 0x23"), [400]),
    "an empty length": (_post(b"Content-Length:"), [400]),
    "a length of 30 digits": (_post(b"Content-Length: " + b"9" * 30), [400]),
    "a space before the colon": (_post(b"Transfer-Encoding : chunked", LENGTH), [400]),
    "a space before the header": (_post(b" Transfer-Encoding: chunked", LENGTH), [400]),
    "chunked twice in a list": (_post(b"Transfer-Encoding: chunked, chunked"), [501]),
    "chunked twice in two headers": (_post(CHUNKED, CHUNKED), [501]),
    "chunked and another coding": (_post(b"Transfer-Encoding: gzip, chunked"), [501]),
    "chunked with a vertical tab": (_post(b"Transfer-Encoding: \x0bchunked", LENGTH), [400]),
    "chunked with a parameter": (_post(b"Transfer-Encoding: chunked;q=1"), [501]),
    "an empty coding": (_post(b"Transfer-Encoding:", LENGTH), [501]),
    "chunked in HTTP/1.0": (_post(CHUNKED, line=LINE_10, body=_chunks(ONE_CHUNK)), [400]),
    "a chunk with an extension": (
        _post(CHUNKED, body=_chunks(b"%x;a=b\r\n%s\r\n" % (len(JSON), JSON))),
        [201],
    ),
    "a bare LF in a chunk extension": (
        _post(CHUNKED, body=b"%x;\n%s\r\n0\r\n\r\n" % (len(JSON), JSON) + SMUGGLED),
        [400],
    ),
    "a chunk ended by a bare LF": (
        _post(CHUNKED, body=b"%x\n%s\n0\n\n" % (len(JSON), JSON) + SMUGGLED),
        [400],
    ),
    "a chunk longer than its size": (
        _post(CHUNKED, body=b"5\r\n" + JSON + b"\r\n0\r\n\r\n" + SMUGGLED),
        [400],
    ),
    "a chunk size of 30 digits": (_post(CHUNKED, body=b"f" * 30 + b"\r\n"), [400]),
    "a signed chunk size": (_post(CHUNKED, body=b"+5\r\nhello\r\n0\r\n\r\n"), [400]),
    "a chunk size in 0x": (_post(CHUNKED, body=b"0x5\r\nhello\r\n0\r\n\r\n"), [400]),
    "a bare LF in the headers": (_post(LENGTH).replace(b"\r\nHost", b"\nHost"), [400]),
    "bare LFs alone": (PING.replace(b"\r\n", b"\n"), [400]),
    "headers ended by a bare LF": (_get(b"Host: localhost", b"\nGET /smuggled HTTP/1.1"), [400]),
    "a bare CR in a header": (_get(b"Host: localhost", b"X: a\rTransfer-Encoding: chunked"), [400]),
    "a folded header": (_get(b"Host: localhost", b"X: a", b" b"), [400]),
    "a folded Authorization": (
        _get(b"Host: localhost", b"Authorization: Bearer", b"\tpk_1"),
        [400],
    ),
    "two Authorizations": (
        _get(b"Host: localhost", b"Authorization: a", b"authorization: b"),
        [400],
    ),
    "two media types": (_post(b"Content-Type: text/plain", LENGTH), [400]),
    "NUL in a header": (_get(b"Host: localhost", b"X: a\x00b"), [400]),
    "a control character in a header": (_get(b"Host: localhost", b"X: a\x01b"), [400]),
    "no host": (_get(b"X: y"), [400]),
    "two hosts": (_get(b"Host: localhost", b"Host: localhost"), [400]),
    "a host with a path": (_get(b"Host: x/smuggled"), [400]),
    "a host with a user": (_get(b"Host: a@x"), [400]),
    "two hosts in one": (_get(b"Host: x, y z"), [400]),
    "a host with an address": (_get(b"Host: [::1]:80"), [200]),
    "no host in HTTP/1.0": (_get(b"X: y", line=b"GET /livez HTTP/1.0"), [421]),
    "an absolute target": (_get(line=b"GET http://localhost/livez HTTP/1.1"), [200]),
    "an absolute target of another host": (_get(line=b"GET http://y/livez HTTP/1.1"), [400]),
    "an absolute target without a path": (_get(line=b"GET http://localhost HTTP/1.1"), [400]),
    "an absolute target of another scheme": (
        _get(line=b"GET ftp://localhost/livez HTTP/1.1"),
        [400],
    ),
    "a target that is no path": (_get(line=b"GET livez HTTP/1.1"), [400]),
    "a target with a fragment": (_get(line=b"GET /livez#a HTTP/1.1"), [400]),
    "a tunnel": (_get(line=b"CONNECT localhost:80 HTTP/1.1") + SMUGGLED, [400]),
    "a method in lower case": (_get(line=b"get /livez HTTP/1.1"), [501]),
    "a method in mixed case": (_post(LENGTH, line=b"Post /payments HTTP/1.1"), [501]),
    "two spaces in the request line": (_get(line=b"GET  /livez HTTP/1.1"), [400]),
    "a tab in the request line": (_get(line=b"GET\t/livez HTTP/1.1"), [400]),
    "HTTP/0.9": (b"GET /livez\r\n\r\n" + SMUGGLED, [400]),
    "HTTP/1.2": (_get(line=b"GET /livez HTTP/1.2"), [505]),
    "bytes after the last request": (_post(LENGTH, b"Connection: close") + SMUGGLED, [201]),
    "bytes after HTTP/1.0": (_post(LENGTH, line=LINE_10) + SMUGGLED, [201]),
    "garbage after the last request": (_post(LENGTH, b"Connection: close") + b"\0" * 99, [201]),
    "bytes after a broken request": (_post(b"Content-Length: x") + SMUGGLED, [400]),
    "an empty line before a request": (b"\r\n" + PING, [200]),
    "an empty line after a body": (_post(LENGTH) + b"\r\n" + PING, [201, 200]),
    "an empty line before each request": ((b"\r\n" + PING) * 3, [200, 200, 200]),
    "an empty line before a broken request": (b"\r\n" + _get(b"X: y") + SMUGGLED, [400]),
    "two empty lines before a request": (b"\r\n\r\n" + SMUGGLED, [400]),
    "an empty line that is a bare LF": (b"\n" + SMUGGLED, [400]),
    "an empty line that is a bare CR": (b"\r" + SMUGGLED, [400]),
    "three in one go": (PING + _post(LENGTH) + PING, [200, 201, 200]),
    "a broken one among others": (PING + _get(b"X: y") + SMUGGLED, [200, 400]),
    "an upgrade that is not taken": (
        _get(b"Host: localhost", b"Connection: Upgrade", b"Upgrade: h2c") + PING,
        [200, 200],
    ),
}
ENDS_WITH_201 = ("bytes after the last", "bytes after HTTP/1.0", "garbage after")


async def _exchange(port: int, *parts: bytes) -> list[int]:
    """Return the statuses of all answers until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.02)
        received = await asyncio.wait_for(reader.read(), WAIT_SECONDS_MAX)
    finally:
        writer.close()
    assert b"smuggled" not in received
    lines = received.split(b"HTTP/1.1 ")
    assert lines[0] == b""
    return [int(line[:3]) for line in lines[1:]]


@pytest.mark.parametrize("name", TRICKS)
async def test_a_framing_trick_gets_no_extra_answer(served: Any, sql: Sql, name: str) -> None:
    sent, statuses = TRICKS[name]
    kept = statuses[-1] < 400 and not name.startswith(ENDS_WITH_201) and "HTTP/1.0" not in name
    assert await _exchange(served.port, sent, LAST) == statuses + [200] * kept
    assert await sql.fetchval("SELECT count(*) FROM payments") == statuses.count(201)


@pytest.mark.parametrize("name", TRICKS)
async def test_a_framing_trick_in_single_bytes_has_the_same_answers(served: Any, name: str) -> None:
    sent, statuses = TRICKS[name]
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    received = b""
    try:
        for at in range(len(sent)):
            writer.write(sent[at : at + 1])
            await asyncio.sleep(0)
        writer.write(LAST)
        received = await asyncio.wait_for(reader.read(), WAIT_SECONDS_MAX)
    finally:
        writer.close()
    assert b"smuggled" not in received
    assert [int(line[:3]) for line in received.split(b"HTTP/1.1 ")[1:]][: len(statuses)] == statuses


async def test_bytes_after_the_last_request_do_not_replace_its_answer(
    served: Any, sql: Sql
) -> None:
    # The bytes arrive while the payment is being stored.
    last = _post(LENGTH, b"Connection: close")
    for n in range(20):
        sent = last.replace(b"Key: k", b"Key: k%d" % n)
        assert await _exchange(served.port, sent[:-1], sent[-1:] + b"x", SMUGGLED) == [201]
    assert await sql.fetchval("SELECT count(*) FROM payments") == 20


@pytest.mark.parametrize("megabytes", [1, 4, 12])
async def test_a_client_that_sends_a_whole_long_body_reads_its_rejection(
    served: Any, megabytes: int
) -> None:
    for _ in range(5):
        # Like most clients, it writes the whole body before it reads.
        size = megabytes * 1024 * 1024
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(_post(b"Content-Length: %d" % size, body=b""))
        for _ in range(megabytes * 16):
            writer.write(b" " * 65_536)
            await asyncio.wait_for(writer.drain(), WAIT_SECONDS_MAX)
        answer = await asyncio.wait_for(reader.read(), WAIT_SECONDS_MAX)
        assert answer.startswith(b"HTTP/1.1 413 ")
        writer.close()


async def test_reading_a_body_after_its_answer_is_bounded(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LINGER_BYTES_MAX", 1_000_000)
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(_post(b"Content-Length: 900000000", body=b""))
    sent_bytes = 0
    with suppress(ConnectionError):
        while sent_bytes < 200_000_000:
            writer.write(b" " * 65_536)
            await asyncio.wait_for(writer.drain(), WAIT_SECONDS_MAX)
            sent_bytes += 65_536
    assert sent_bytes < 100_000_000
    writer.close()


async def test_many_small_chunks_do_not_keep_a_rejected_request_open(serve_api: Any) -> None:
    served = await serve_api(rate_limit_per_address="1/hour")
    assert await _exchange(served.port, PING.replace(b"livez", b"payments") + LAST) == [200, 200]
    body = b"1\r\n \r\n" * 2_000
    sent = _post(CHUNKED, body=b"")
    for _ in range(3):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(sent)
        await asyncio.sleep(0.02)
        writer.write(body)
        answer = await asyncio.wait_for(reader.read(), WAIT_SECONDS_MAX)
        assert answer.startswith(b"HTTP/1.1 429 ")
        writer.close()
