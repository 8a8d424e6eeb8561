"""HTTP itself: methods, paths, and malformed requests, over a real socket."""

import asyncio
from typing import Any

import pytest
from quart.typing import TestClientProtocol

from payments_api.http import json_body
from testkit.database.sql import Sql

GOOD = b'{"accountId": "acc_1", "amount": 1}'


def _request(
    *lines: str, body: bytes = b"", start: str = "POST /payments HTTP/1.1", key: str = "k"
) -> bytes:
    head = (
        start,
        "Host: localhost",
        f"Idempotency-Key: {key}",
        "Content-Type: application/json",
        *lines,
        "",
        "",
    )
    return "\r\n".join(head).encode() + body


def _chunked(body: bytes, size: int = 1000) -> bytes:
    chunks = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


CHUNKED = "Transfer-Encoding: chunked"
LENGTH = f"Content-Length: {len(GOOD)}"

# bytes sent, status, the problem's code; None if the answer is not the application's: bytes that
# are not HTTP get a bare 400 from the server
RAW: dict[str, tuple[bytes, int, str | None]] = {
    "a good one": (_request(LENGTH, body=GOOD), 201, None),
    "chunked": (_request(CHUNKED, body=_chunked(GOOD, 5)), 201, None),
    "HTTP/1.0": (_request(LENGTH, body=GOOD, start="POST /payments HTTP/1.0"), 201, None),
    "an absolute address": (
        _request(LENGTH, body=GOOD, start="POST http://localhost/payments HTTP/1.1"),
        201,
        None,
    ),
    "asking before sending": (_request(LENGTH, "Expect: 100-continue", body=GOOD), 100, None),
    "a body after a GET": (
        _request(LENGTH, body=GOOD, start="GET /health HTTP/1.1"),
        200,
        None,
    ),
    "no length, so no body": (_request(), 400, "malformed_json"),
    "chunked beyond the limit": (
        _request(CHUNKED, body=_chunked(b" " * 70_000)),
        413,
        "payload_too_large",
    ),
    "chunked far beyond the limit": (
        _request(CHUNKED, body=_chunked(b" " * 3_000_000, 60_000)),
        413,
        "payload_too_large",
    ),
    "a length beyond the limit": (
        _request("Content-Length: 70000", body=b" " * 70_000),
        413,
        "payload_too_large",
    ),
    "a huge length that never comes": (
        _request("Content-Length: 99999999999", body=b"{"),
        413,
        "payload_too_large",
    ),
    "a length that is too small": (
        _request("Content-Length: 10", body=GOOD),
        400,
        "malformed_json",
    ),
    "a negative length": (_request("Content-Length: -1"), 400, None),
    "a length that is no number": (_request("Content-Length: ten"), 400, None),
    "two lengths": (_request(LENGTH, "Content-Length: 1", body=GOOD), 400, None),
    "a broken chunk": (_request(CHUNKED, body=b"zz\r\n"), 400, None),
    "an unknown transfer encoding": (_request("Transfer-Encoding: gzip"), 501, None),
    "a header without a colon": (_request("nonsense"), 400, None),
    "headers of 100 KB": (_request("X: " + "x" * 100_000), 431, None),
    "an address of 100 KB": (_request(start="GET /" + "x" * 100_000 + " HTTP/1.1"), 431, None),
    "no HTTP at all": (b"hello\r\n\r\n", 400, None),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, None),
    "an unknown method": (
        _request(LENGTH, body=GOOD, start="BREW /payments HTTP/1.1"),
        405,
        "method_not_allowed",
    ),
    "a web socket": (
        b"GET /payments/events HTTP/1.1\r\nHost: localhost\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        400,
        None,
    ),
}


@pytest.mark.parametrize("name", RAW)
async def test_each_raw_request_has_its_answer(served: Any, sql: Sql, name: str) -> None:
    request, status, code = RAW[name]
    answer = await served.send_raw(request)
    assert answer.status == status
    if code is not None:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == code
    assert await sql.fetchval("SELECT count(*) FROM payments") == (1 if status == 201 else 0)
    assert (await served.send_raw(_request(LENGTH, body=GOOD))).status == 201


async def test_a_body_that_never_arrives_times_out(
    served: Any, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_body, "BODY_SECONDS_MAX", 0.2)
    answer = await served.send_raw(_request("Content-Length: 500", body=GOOD))
    assert (answer.status, answer.json()["code"]) == (408, "request_timeout")
    assert await sql.fetchval("SELECT count(*) FROM payments") == 0


async def test_an_incomplete_body_stores_nothing(served: Any, sql: Sql) -> None:
    answer = await served.send_raw(_request("Content-Length: 500", body=GOOD), then_eof=True)
    assert answer.status in (0, 400)
    assert await sql.fetchval("SELECT count(*) FROM payments") == 0
    assert (await served.send_raw(_request(LENGTH, body=GOOD))).status == 201


async def test_pipelined_requests_are_answered_in_order(served: Any) -> None:
    requests = b"".join(_request(LENGTH, body=GOOD, key=f"k{n}") for n in range(3))
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(requests)
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answers = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answers.count(b"HTTP/1.1 201") == 3
    assert answers.count(b"HTTP/1.1 200") == 1


async def test_a_rejection_keeps_the_connection(served: Any) -> None:
    refused = _request(LENGTH, "Idempotency-Key: another", body=GOOD)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(refused + _request(LENGTH, "Connection: close", body=GOOD, key="after"))
    answers = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answers.count(b"HTTP/1.1 400") == 1
    assert answers.count(b"HTTP/1.1 201") == 1


async def test_a_broken_request_is_answered_after_earlier_ones(served: Any) -> None:
    for broken in (b"nonsense\r\n\r\n", _request(CHUNKED, body=b"zz\r\n", key="broken")):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(_request(LENGTH, body=GOOD) + broken)
        answers = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert 0 < answers.index(b"HTTP/1.1 201") + 1 < answers.index(b"HTTP/1.1 400")


async def test_a_trailer_is_not_a_header(served: Any, sql: Sql) -> None:
    body = _chunked(GOOD)[:-2] + b"Idempotency-Key: late\r\n\r\n"
    request = _request(CHUNKED, body=body).replace(b"Idempotency-Key: k\r\n", b"")
    answer = await served.send_raw(request)
    assert (answer.status, answer.json()["code"]) == (400, "idempotency_key_missing")


METHODS = [
    # method, path, status, Allow header
    ("GET", "/payments/batch", 405, "OPTIONS, POST"),
    ("GET", "/jobs/replay", 405, "OPTIONS, POST"),
    ("GET", "/payments/batches", 404, None),  # Read as a payment's id, which it is not.
    ("PUT", "/payments", 405, "GET, HEAD, OPTIONS, POST"),
    ("DELETE", "/payments", 405, "GET, HEAD, OPTIONS, POST"),
    ("PATCH", "/payments/01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e3f", 405, "GET, HEAD, OPTIONS"),
    ("POST", "/accounts/acc_1/balance", 405, "GET, HEAD, OPTIONS"),
    ("POST", "/payments/events", 405, "GET, HEAD, OPTIONS"),
    ("GET", "/jobs/1/replay", 405, "OPTIONS, POST"),
    ("POST", "/health", 405, "GET, HEAD, OPTIONS"),
    ("PUT", "/webhooks", 405, "GET, HEAD, OPTIONS, POST"),
    (
        "POST",
        "/webhooks/01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e50",
        405,
        "DELETE, GET, HEAD, OPTIONS, PATCH",
    ),
    ("GET", "/webhooks/01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e50/test", 405, "OPTIONS, POST"),
    (
        "DELETE",
        "/webhook-deliveries/01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e60",
        405,
        "GET, HEAD, OPTIONS",
    ),
    ("TRACE", "/payments", 405, "GET, HEAD, OPTIONS, POST"),
    ("OPTIONS", "/payments", 200, "GET, HEAD, OPTIONS, POST"),
    ("OPTIONS", "/accounts/acc_1/balance", 200, "GET, HEAD, OPTIONS"),
    ("HEAD", "/payments", 200, None),
    ("HEAD", "/health", 200, None),
    ("HEAD", "/accounts/acc_1/balance", 200, None),
    ("HEAD", "/nowhere", 404, None),
]


@pytest.mark.parametrize(("method", "address", "status", "allow"), METHODS)
async def test_each_method_has_its_answer(
    client: TestClientProtocol, method: str, address: str, status: int, allow: str | None
) -> None:
    answer = await getattr(client, method.lower())(address)
    assert answer.status_code == status
    if allow is not None:
        assert ", ".join(sorted(answer.headers["Allow"].split(", "))) == allow
    if status >= 400 and method != "HEAD":
        assert answer.content_type == "application/problem+json"
        assert (await answer.get_json())["status"] == status


ADDRESSES = [
    # path, status, code
    ("/", 404, "not_found"),
    ("/nowhere", 404, "not_found"),
    ("/payments/", 200, None),  # A trailing slash makes no difference.
    ("/health/", 200, None),
    ("/accounts/acc_1/balance/", 200, None),
    ("//payments", 404, "not_found"),
    ("/accounts//balance", 404, "not_found"),
    ("/PAYMENTS", 404, "not_found"),
    ("/payments/../health", 404, "not_found"),
    ("/accounts", 200, None),
    ("/accounts/", 200, None),
    ("/accounts/acc_1", 404, "not_found"),
    ("/accounts/a/b/balance", 404, "not_found"),
    ("/accounts/a%2Fb/balance", 404, "not_found"),
    ("/accounts/a%00b/balance", 422, "validation_error"),
    ("/accounts/%FF/balance", 422, "validation_error"),
    ("/accounts/%ED%A0%80/balance", 422, "validation_error"),
    ("/accounts/a%20b/balance", 422, "validation_error"),
    ("/accounts/-a/balance", 422, "validation_error"),
    ("/accounts/" + "a" * 129 + "/balance", 422, "validation_error"),
    ("/accounts/sys:clearing:00/balance", 200, None),
    ("/accounts/user%2Btag@example.org/balance", 200, None),
    ("/accounts/acc_1/balance?currency=usd", 422, "validation_error"),
    ("/accounts/acc_1/balance?%FF=1", 422, "validation_error"),
    ("/accounts/acc_1/balance?currency=%00", 422, "validation_error"),
    ("/static/x", 404, "not_found"),
    ("/docs", 200, None),
    ("/openapi.json", 200, None),
]


@pytest.mark.parametrize(("address", "status", "code"), ADDRESSES)
async def test_each_address_has_its_answer(
    served: Any, address: str, status: int, code: str | None
) -> None:
    answer = await served.send_raw(f"GET {address} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert answer.status == status
    if code is not None:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == code


async def test_any_accept_header_is_answered_in_json(client: TestClientProtocol) -> None:
    for accept in ("text/html", "application/xml", "application/json;q=0", "nonsense;;"):
        answer = await client.get("/payments", headers={"Accept": accept})
        assert (answer.status_code, answer.content_type) == (200, "application/json")


async def test_money_is_never_cached(client: TestClientProtocol) -> None:
    for address in ("/accounts/acc_1/balance", "/accounts/acc_1/entries", "/payments", "/nowhere"):
        answer = await client.get(address)
        assert answer.headers["Cache-Control"] == "no-store", address


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("path", ["/payments", "/nowhere", "//", "/docs", "/metrics", "/livez"])
async def test_browsers_must_not_guess_an_answers_type(served: Any, method: str, path: str) -> None:
    answer = await served.send_raw(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert answer.headers["x-content-type-options"] == "nosniff"
