"""Paths, Host headers and ports at the outermost layer, over a real socket."""

import asyncio
from typing import Any

import httpx
import pytest

from payments_core.http.telemetry import PROBES
from testkit.waiting import until


async def _get(served: Any, path: str, host: str = "localhost") -> Any:
    return await served.send_raw(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())


LOCAL = ["localhost", "LOCALHOST:3001", "127.0.0.1", "127.0.0.2:80", "[::1]", "[::1]:3001"]
REMOTE = [
    "evil.example",
    "evil.example:3001",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "localhost.",
    "10.0.0.1",
    "[2001:db8::1]:3001",
    "x",
    "",
]


@pytest.mark.parametrize("host", LOCAL)
async def test_without_authentication_local_names_are_served(served: Any, host: str) -> None:
    assert (await _get(served, "/payments", host)).status == 200


@pytest.mark.parametrize("host", REMOTE)
@pytest.mark.parametrize("path", ["/payments", "/livez", "/metrics", "/payments/events", "/docs"])
async def test_without_authentication_other_names_are_rejected(
    served: Any, host: str, path: str
) -> None:
    answer = await _get(served, path, host)
    assert (answer.status, answer.json()["code"]) == (421, "misdirected_request")


async def test_a_rebound_name_cannot_create_a_payment(served: Any, sql: Any) -> None:
    body = b'{"accountId": "acc_1", "amount": 1}'
    head = (
        b"POST /payments HTTP/1.1\r\nHost: evil.example\r\nIdempotency-Key: k\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    assert (await served.send_raw(head + body)).status == 421
    assert await sql.fetchval("SELECT count(*) FROM payments") == 0


ALLOWED = ["payments-api", "PAYMENTS-API:3001", "a.forwarded.example", "localhost", "[::1]:3001"]
ADDRESSES = ["10.0.0.1", "10.0.0.1:3001", "[2001:db8::1]:3001"]
NOT_ALLOWED = [
    "evil.example",
    "payments-api.evil.example",
    "evil-payments-api",
    "payments-api.",
    "forwarded.example",
    ".forwarded.example",
    "evilforwarded.example",
    "a.forwarded.example.evil.example",
    "10.0.0.1.evil.example",
    "",
]


@pytest.mark.parametrize("host", [*ALLOWED, *ADDRESSES, *NOT_ALLOWED])
async def test_without_authentication_remote_names_must_be_listed(
    serve_api: Any, host: str
) -> None:
    served = await serve_api(
        allow_unauthenticated_remote=True, allowed_hosts="payments-api, .Forwarded.example"
    )
    expected = 421 if host in NOT_ALLOWED else 200
    assert (await _get(served, "/payments", host)).status == expected


async def test_with_keys_any_name_is_served(serve_api: Any) -> None:
    served = await serve_api(auth="on")
    assert (await _get(served, "/livez", "payments.example")).status == 200


SLASHES = [
    "//payments",
    "///payments",
    "/payments//",
    "/payments//events",
    "/accounts//acc_1/balance",
    "/accounts/acc_1//balance",
    "/%2Fpayments",
    "//evil.example/payments",
    "//",
]


@pytest.mark.parametrize("path", SLASHES)
async def test_an_empty_segment_is_a_problem_without_a_redirect(served: Any, path: str) -> None:
    answer = await _get(served, path)
    assert (answer.status, answer.json()["code"]) == (404, "not_found")
    assert "location" not in answer.headers


@pytest.mark.parametrize("path", ["/payments/events", "/payments/events/"])
async def test_a_head_request_to_a_stream_frees_its_connection_and_slot(
    serve_api: Any, path: str
) -> None:
    served = await serve_api(event_readers_max=1)
    feed = served.app.extensions["payments_api"].events

    async def is_free() -> bool:
        return bool(feed.readers == 0)

    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    for _ in range(3):
        writer.write(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert head.startswith(b"HTTP/1.1 200 ")
        await until(is_free)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_an_aborted_stream_leaves_no_task_behind(served: Any) -> None:
    def waiting_tasks() -> int:
        return sum("Event.wait" in repr(task.get_coro()) for task in asyncio.all_tasks())

    feed = served.app.extensions["payments_api"].events
    before = waiting_tasks()
    for _ in range(3):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /payments/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b": connected"), 10)
        writer.transport.abort()

    async def are_gone() -> bool:
        return bool(feed.readers == 0) and waiting_tasks() <= before

    await until(are_gone)


async def test_a_control_port_takes_the_probes_from_the_service_port(
    serve_api: Any, unused_tcp_port: int
) -> None:
    served = await serve_api(control_port=unused_tcp_port, connections_max=1)
    control = f"http://127.0.0.1:{unused_tcp_port}"
    async with httpx.AsyncClient() as http:
        for path in PROBES - {"/health"}:
            assert (await http.get(f"{control}{path}")).status_code == 200, path
            for spelling in (path, f"{path}/", f"{path}//", f"/{path}", path.upper()):
                assert (await http.get(f"{served.url}{spelling}")).status_code == 404, spelling
        assert (await http.get(f"{served.url}/health")).status_code == 200
        for path in ("/payments", "/docs", "/openapi.json", "/jobs", "/payments/events"):
            assert (await http.get(f"{control}{path}")).status_code == 404, path
        assert (await http.post(f"{control}/payments", json={})).status_code == 404


async def test_the_control_port_answers_when_the_service_is_full(
    serve_api: Any, unused_tcp_port: int
) -> None:
    served = await serve_api(control_port=unused_tcp_port, connections_max=1)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET /payments/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{served.url}/health")).status_code == 503
        assert (await http.get(f"http://127.0.0.1:{unused_tcp_port}/livez")).status_code == 200
    writer.close()
