"""Names and certificates: the client connects to checked addresses alone."""

import asyncio
import ipaddress
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest

from payments_core.webhooks.destination import parse_url
from recon_worker.webhooks import client as http
from recon_worker.webhooks import resolve
from recon_worker.webhooks.client import AttemptFailed, WebhookClient
from recon_worker.webhooks.connection import Answer
from recon_worker.webhooks.resolve import AddressRefused, Resolver, ResolverBusy
from testkit.network.receiver import (
    Receiver,
    running_receiver,
)

from .conftest import ENDPOINT


def looked_up(*addresses: str) -> Any:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:10.0.0.1"],
        ["64:ff9b::a00:1"],
        ["fd00::1"],
        ["fe80::1%2"],
        ["8.8.8.8", "10.0.0.1"],
        [],
    ],
)
async def test_a_name_with_a_private_address_is_refused(addresses: list[str]) -> None:
    resolver = Resolver(lambda host, port: looked_up(*addresses))
    with pytest.raises(AddressRefused):
        await resolver.addresses(parse_url("https://hooks.example.com/"), ENDPOINT)
    await resolver.close()


async def test_the_connection_goes_to_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that answers publicly first and privately then is looked up once."""
    answers = iter([looked_up("8.8.8.8"), looked_up("127.0.0.1")])
    opened: list[str] = []

    async def open_connection(host: str, port: int, **options: Any) -> Any:
        opened.append(host)
        assert options["server_hostname"] == "hooks.example.com"
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio, "open_connection", open_connection)
    client = WebhookClient(
        loopback_allowed=False, resolver=Resolver(lambda host, port: next(answers))
    )
    with pytest.raises(AttemptFailed, match="ConnectionRefusedError"):
        await client.post("https://hooks.example.com/", [], b"{}", ENDPOINT)
    with pytest.raises(AttemptFailed, match="not on the internet"):
        await client.post("https://hooks.example.com/", [], b"{}", ENDPOINT)
    assert opened == ["8.8.8.8"]
    await client.close()


async def test_a_name_server_that_hangs_delays_no_other_endpoint(quick: None) -> None:
    release = threading.Event()

    def lookup(host: str, port: int) -> Any:
        if host.startswith("slow"):
            release.wait(20)
        return looked_up("10.0.0.1")

    client = WebhookClient(loopback_allowed=False, resolver=Resolver(lookup))
    slow = [
        asyncio.create_task(client.post(f"https://slow{number}.example.com/", [], b"{}", ENDPOINT))
        for number in range(2 * resolve.LOOKUPS_MAX)
    ]
    await asyncio.sleep(0.05)
    began = monotonic()
    with pytest.raises(AttemptFailed, match="not on the internet"):
        await client.post("https://quick.example.com/", [], b"{}", uuid4())
    assert monotonic() - began < 0.4
    results = await asyncio.gather(*slow, return_exceptions=True)
    failed = [result for result in results if isinstance(result, AttemptFailed)]
    assert [str(one) for one in failed] == ["No answer within 0 s."]
    assert all(isinstance(result, ResolverBusy) for result in results if result not in failed)
    release.set()
    await client.close()


async def test_lookups_are_bounded_and_one_that_cannot_begin_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    monkeypatch.setattr(resolve, "LOOKUPS_MAX", 2)
    release = threading.Event()

    def lookup(host: str, port: int) -> Any:
        release.wait(20)
        return looked_up("10.0.0.1")

    client = WebhookClient(loopback_allowed=False, resolver=Resolver(lookup))

    def post(name: str) -> "asyncio.Task[Answer]":
        url = f"https://{name}.example.com/"
        return asyncio.create_task(client.post(url, [], b"{}", uuid4()))

    results = await asyncio.gather(
        *(post(name) for name in ("a", "b", "b", "c")), return_exceptions=True
    )
    assert [type(result) for result in results] == [*[AttemptFailed] * 3, ResolverBusy]
    release.set()
    await client.close()


async def test_an_endpoint_whose_url_changes_has_one_lookup_under_way(quick: None) -> None:
    release = threading.Event()

    def lookup(host: str, port: int) -> Any:
        release.wait(20)
        return looked_up("10.0.0.1")

    client = WebhookClient(loopback_allowed=False, resolver=Resolver(lookup))
    urls = [f"https://{name}.example.com/" for name in ("a", "b")]
    results = await asyncio.gather(
        *(client.post(url, [], b"{}", ENDPOINT) for url in urls), return_exceptions=True
    )
    assert [type(result) for result in results] == [AttemptFailed, ResolverBusy]
    release.set()
    await client.close()


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[tuple[Receiver, Path]]:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    process = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-days", "2", "-subj", "/CN=hooks.example.com"),
        *("-addext", "subjectAltName=DNS:hooks.example.com"),
        *("-keyout", str(key), "-out", str(certificate)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with running_receiver(tls) as receiver:
        yield receiver, certificate


def directed(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver, tls: ssl.SSLContext
) -> WebhookClient:
    """Return a client for which every name leads to the receiver."""
    monkeypatch.setattr(resolve, "may_connect", lambda destination, address: True)
    opened = asyncio.open_connection

    async def open_connection(host: str, port: int, **options: Any) -> Any:
        assert ipaddress.ip_address(host).is_loopback
        return await opened(host, receiver.port, **options)

    monkeypatch.setattr(asyncio, "open_connection", open_connection)
    lookup = Resolver(lambda host, port: looked_up("127.0.0.1"))
    return WebhookClient(loopback_allowed=False, resolver=lookup, tls=tls)


async def test_a_certificate_of_the_urls_name_is_accepted(
    secure: tuple[Receiver, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver, certificate = secure
    tls = http.tls_context()
    tls.load_verify_locations(certificate)
    client = directed(monkeypatch, receiver, tls)
    assert (await client.post("https://hooks.example.com/", [], b"{}", ENDPOINT)).status == 200
    assert receiver.received[0].headers["host"] == "hooks.example.com"
    with pytest.raises(AttemptFailed, match="certificate is refused"):
        await client.post("https://other.example.com/", [], b"{}", ENDPOINT)
    await client.close()


async def test_an_unknown_certificate_is_refused(
    secure: tuple[Receiver, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver, _ = secure
    client = directed(monkeypatch, receiver, http.tls_context())
    with pytest.raises(AttemptFailed, match="certificate is refused"):
        await client.post("https://hooks.example.com/", [], b"{}", ENDPOINT)
    assert receiver.received == []
    await client.close()
