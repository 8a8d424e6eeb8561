"""The client's address: taken from headers only as far as trusted proxies report it."""

from ipaddress import ip_network
from typing import Any

import pytest

from payments_core.http.client_address import ClientAddresses, is_within, limited_as, networks_of

PROXIES = networks_of("10.0.0.0/8, fd00::/8")


def _scope(peer: str, **headers: str) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return {"client": (peer, 4711), "headers": pairs}


CASES = [
    # peer, X-Forwarded-For, client
    ("192.0.2.1", None, "192.0.2.1"),
    ("192.0.2.1", "198.51.100.7", "192.0.2.1"),  # The peer is not a trusted proxy.
    ("10.0.0.1", None, "10.0.0.1"),
    ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
    # The left address does not come from a trusted proxy.
    ("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
    ("10.0.0.1", "198.51.100.7, 10.0.0.2", "198.51.100.7"),
    ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
    ("10.0.0.1", "198.51.100.7:5555", "198.51.100.7"),
    ("10.0.0.1", "[2001:db8::7]:5555", "2001:db8::7"),
    ("10.0.0.1", "unknown", "10.0.0.1"),
    ("10.0.0.1", "198.51.100.7, nonsense", "10.0.0.1"),
    ("10.0.0.1", "", "10.0.0.1"),
    ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
    ("fd00::1", "2001:db8::7", "2001:db8::7"),
    # The number of addresses is limited.
    ("10.0.0.1", "198.51.100.7" + ", 10.0.0.2" * 500, "10.0.0.2"),
]


@pytest.mark.parametrize(("peer", "forwarded", "client"), CASES)
def test_the_client_is_the_rightmost_untrusted_address(
    peer: str, forwarded: str | None, client: str
) -> None:
    headers = {} if forwarded is None else {"x_forwarded_for": forwarded}
    addresses = ClientAddresses(PROXIES, "x-forwarded-for")
    assert addresses.of(_scope(peer, **headers)) == client


def test_repeated_headers_are_one_list() -> None:
    scope = _scope("10.0.0.1")
    scope["headers"] = [(b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-for", b"198.51.100.7")]
    assert ClientAddresses(PROXIES, "x-forwarded-for").of(scope) == "198.51.100.7"


def test_only_the_header_that_the_proxies_set_is_read() -> None:
    scope = _scope("10.0.0.1", x_forwarded_for="203.0.113.9", forwarded="for=198.51.100.7")
    assert ClientAddresses(PROXIES, "x-forwarded-for").of(scope) == "203.0.113.9"
    assert ClientAddresses(PROXIES, "forwarded").of(scope) == "198.51.100.7"


def test_forwarded_is_parsed_as_in_rfc_7239() -> None:
    addresses = ClientAddresses(PROXIES, "forwarded")
    for text, client in {
        'for="[2001:db8::7]:80";proto=https': "2001:db8::7",
        "proto=http;For=198.51.100.7, for=10.0.0.2": "198.51.100.7",
        "for=_hidden": "10.0.0.1",
        "by=203.0.113.1": "10.0.0.1",
    }.items():
        assert addresses.of(_scope("10.0.0.1", forwarded=text)) == client, text


def test_without_trusted_proxies_headers_are_ignored() -> None:
    addresses = ClientAddresses((), "x-forwarded-for")
    assert addresses.of(_scope("10.0.0.1", x_forwarded_for="198.51.100.7")) == "10.0.0.1"
    assert addresses.of({"client": None, "headers": []}) == "unknown"


def test_ipv6_is_counted_by_network_and_ipv4_by_address() -> None:
    assert (
        limited_as("2001:db8:1:2:3:4:5:6") == limited_as("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    )
    assert limited_as("192.0.2.1") == limited_as("::ffff:192.0.2.1") == "192.0.2.1"
    assert limited_as("unknown") == "unknown"


def test_networks_are_parsed_or_rejected() -> None:
    assert networks_of(" 10.0.0.0/8 ,::1") == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert networks_of("") == ()
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        networks_of("10.0.0.1/8")
    for everyone in ("0.0.0.0/0", "::1, ::/0", "128.0.0.0/1", "10.0.0.0/7"):
        with pytest.raises(ValueError, match="most of the internet"):
            networks_of(everyone)
    assert is_within("::ffff:10.1.2.3", PROXIES)
    assert not is_within("nonsense", PROXIES)
