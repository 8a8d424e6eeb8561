"""The HTTP client: no answer, address or redirect makes it reach further, wait or grow."""

import asyncio
import socket
from time import monotonic

import pytest

from recon_worker.webhooks import client as http
from recon_worker.webhooks.client import AttemptFailed, WebhookClient
from recon_worker.webhooks.connection import ANSWER_BYTES_MAX, ANSWER_PARTS_MAX, Answer
from testkit.network.receiver import (
    Received,
    Receiver,
    accept,
    always,
    answer,
    hang,
)

from .conftest import ENDPOINT, post


async def test_a_request_arrives_and_its_answer_returns(
    client: WebhookClient, receiver: Receiver
) -> None:
    receiver.behave = always(answer(202, "grüße".encode(), "x: y"))
    assert await post(client, receiver, "/hook?a=b") == Answer(202, "grüße", None)
    [request] = receiver.received
    assert (request.path, request.body) == ("/hook?a=b", b"{}")
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"


async def test_a_connection_serves_many_requests_until_the_receiver_closes_it(
    client: WebhookClient, receiver: Receiver
) -> None:
    for _ in range(5):
        await post(client, receiver)
    assert receiver.connections == 1
    receiver.behave = always(answer(200, b"", "connection: close"))
    for _ in range(3):
        await post(client, receiver)
    assert receiver.connections == 3


async def test_a_connection_that_went_stale_is_replaced(
    client: WebhookClient, receiver: Receiver
) -> None:
    async def leave(request: Received, writer: asyncio.StreamWriter) -> None:
        await accept(request, writer)
        writer.close()

    receiver.behave = leave
    for _ in range(3):
        assert (await post(client, receiver)).status == 200
    assert len(receiver.received) == receiver.connections == 3


async def test_an_old_connection_is_replaced_so_that_the_name_is_looked_up_again(
    client: WebhookClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post(client, receiver)
    await post(client, receiver)
    assert receiver.connections == 1
    monkeypatch.setattr(http, "AGE_SECONDS_MAX", 0.0)
    await post(client, receiver)
    assert receiver.connections == 2


async def test_kept_connections_that_are_closed_cost_one_repetition(
    client: WebhookClient, receiver: Receiver
) -> None:
    await asyncio.gather(*(post(client, receiver) for _ in range(5)))
    kept = receiver.connections
    assert kept > 2

    async def leave_if_kept(request: Received, writer: asyncio.StreamWriter) -> None:
        if receiver.connections > kept:
            await accept(request, writer)
        else:
            writer.close()

    receiver.behave = leave_if_kept
    assert (await post(client, receiver)).status == 200
    assert len(receiver.received) == 5 + 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_never_followed(
    client: WebhookClient, receiver: Receiver, status: int
) -> None:
    receiver.behave = always(answer(status, b"", f"location: {receiver.url('/elsewhere')}"))
    assert (await post(client, receiver)).status == status
    assert [one.path for one in receiver.received] == ["/"]


async def test_a_hanging_receiver_costs_the_deadline(
    client: WebhookClient, receiver: Receiver, quick: None
) -> None:
    receiver.behave = hang
    began = monotonic()
    with pytest.raises(AttemptFailed, match="No answer within"):
        await post(client, receiver)
    assert 0.4 < monotonic() - began < 5


async def test_a_receiver_that_drips_cannot_extend_the_deadline(
    client: WebhookClient, receiver: Receiver, quick: None
) -> None:
    async def drip(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    receiver.behave = drip
    began = monotonic()
    with pytest.raises(AttemptFailed, match="No answer within"):
        await post(client, receiver)
    assert monotonic() - began < 5


async def test_a_huge_answer_is_read_up_to_its_bound(
    client: WebhookClient, receiver: Receiver
) -> None:
    sent = 0

    async def flood(request: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    receiver.behave = flood
    got = await post(client, receiver)
    assert (got.status, got.text) == (200, "x" * 1024)
    await asyncio.sleep(0.1)
    assert sent < 100 * ANSWER_BYTES_MAX  # What the sockets' buffers hold.
    receiver.behave = accept
    await post(client, receiver)
    assert receiver.connections == 2


async def test_an_answer_in_many_small_parts_is_read_up_to_their_bound(
    client: WebhookClient, receiver: Receiver
) -> None:
    """Its bytes are few, but each part costs processor time, in which nothing else runs."""
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    receiver.behave = always(head + b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n")
    got = await post(client, receiver)
    assert got.status == 200
    assert 0 < len(got.text) <= ANSWER_PARTS_MAX
    receiver.behave = always(b"HTTP/1.1 103 -\r\n\r\n" * 1000 + answer(200))
    with pytest.raises(AttemptFailed, match="head is too long"):
        await post(client, receiver)
    receiver.behave = always(b"HTTP/1.1 103 -\r\n\r\n" * 3 + answer(200))
    assert (await post(client, receiver)).status == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: y\r\n" % n for n in range(20_000)),
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000,
        b"HTTP/1.1 103 -\r\n\r\n" * 20_000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1" * 100_000,
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/0.9 hello",
        b"\0" * 100_000,
        b"",
    ],
    ids=lambda raw: raw[:30].decode(),
)
async def test_a_malformed_or_endless_head_is_a_failure(
    client: WebhookClient, receiver: Receiver, raw: bytes
) -> None:
    async def send(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        writer.close()

    receiver.behave = send
    with pytest.raises(AttemptFailed):
        await post(client, receiver)


async def test_an_answer_that_breaks_off_is_a_failure(
    client: WebhookClient, receiver: Receiver
) -> None:
    async def break_off(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        writer.close()

    receiver.behave = break_off
    with pytest.raises(AttemptFailed):
        await post(client, receiver)


async def test_a_text_that_no_database_stores_is_made_storable(
    client: WebhookClient, receiver: Receiver
) -> None:
    receiver.behave = always(answer(500, b"a\0b\xff\xf0"))
    assert (await post(client, receiver)).text == "a\N{REPLACEMENT CHARACTER}b" + 2 * "�"


async def test_nothing_listens_is_a_failure_in_one_line(client: WebhookClient) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/"
        with pytest.raises(AttemptFailed) as failed:
            await client.post(url, [], b"{}", ENDPOINT)
    assert "\n" not in str(failed.value)


async def test_a_proxy_of_the_environment_is_ignored(
    client: WebhookClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    assert (await post(client, receiver)).status == 200


async def test_this_machine_is_refused_unless_the_setting_allows_it(receiver: Receiver) -> None:
    strict = WebhookClient(loopback_allowed=False)
    for url in (receiver.url(), f"https://127.0.0.1:{receiver.port}/", "https://localhost/"):
        with pytest.raises(AttemptFailed, match="The URL must"):
            await strict.post(url, [], b"{}", ENDPOINT)
    await strict.close()
    assert receiver.connections == 0
