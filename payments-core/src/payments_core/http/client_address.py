"""A client's address: the peer's, or the one that trusted proxies report."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

Network = IPv4Network | IPv6Network
ForwardedHeader = Literal["x-forwarded-for", "forwarded"]

FORWARDED_HOPS_MAX = 20  # More than any site has; a client may claim any number.
PREFIX_BITS_MIN = {4: 8, 6: 7}  # 10.0.0.0/8 (RFC 1918), fc00::/7 (RFC 4193).
# One customer's network in IPv6 (RFC 6177): a limit for single addresses would have no effect.
IPV6_PREFIX_BITS = 64


def networks_of(text: str) -> tuple[Network, ...]:
    """Return the networks of "10.0.0.0/8, ::1". Raises ValueError.

    A network wider than the widest private ones is refused: with 0.0.0.0/0 as trusted proxies,
    every client could name itself.
    """
    networks = tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    for network in networks:
        if network.prefixlen < PREFIX_BITS_MIN[network.version]:
            raise ValueError(f"{network} holds most of the internet: name your own networks")
    return networks


def _checked(text: str) -> str:
    networks_of(text)
    return text


NetworksText = Annotated[str, AfterValidator(_checked)]


class ClientAddresses:
    """Finds a request's client.

    `trusted` are the networks of proxies whose header is believed. The header is read from its
    right end, where each proxy adds its peer: the first address outside the trusted networks is
    the client's. Anything left of it may be forged.
    """

    def __init__(self, trusted: Sequence[Network], header: ForwardedHeader) -> None:
        self._trusted = tuple(trusted)
        self._header = header.encode()
        self._is_trusted = lru_cache(maxsize=4096)(self._look_up)
        self._client_of = lru_cache(maxsize=4096)(self._read)

    def of(self, scope: Mapping[str, Any]) -> str:
        """Return the client's address as text, or "unknown" if the server has none."""
        client = scope.get("client")
        peer = str(client[0]) if client else "unknown"
        if not self._trusted or not self._is_trusted(peer):
            return peer
        values = [value for name, value in scope["headers"] if name == self._header]
        return self._client_of(peer, b",".join(values))

    def _read(self, peer: str, forwarded: bytes) -> str:
        client = peer
        for hop in _hops_from_the_right(forwarded.decode("latin-1"), self._header):
            address = _address_of(hop)
            if address is None:
                break  # "unknown", or made up: the last known address is the proxy's.
            client = address
            if not self._is_trusted(client):
                break
        return client

    def _look_up(self, address: str) -> bool:
        return is_within(address, self._trusted)


def is_within(address: str, networks: Iterable[Network]) -> bool:
    """Return whether the address, as text, belongs to one of the networks."""
    try:
        parsed = _plain(ip_address(address))
    except ValueError:
        return False
    return any(parsed in network for network in networks)


@lru_cache(maxsize=4096)
def limited_as(address: str) -> str:
    """Return the key that limits count by: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        parsed = _plain(ip_address(address))
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(ip_network((int(parsed), IPV6_PREFIX_BITS), strict=False))


def _hops_from_the_right(value: str, header: bytes) -> list[str]:
    hops = value.rsplit(",", FORWARDED_HOPS_MAX)[-FORWARDED_HOPS_MAX:]
    hops.reverse()
    if header == b"x-forwarded-for":
        return hops
    return [_for_of(hop) for hop in hops]


def _for_of(element: str) -> str:
    """Return the node of an RFC 7239 element such as 'for="[::1]:80";proto=http'."""
    for pair in element.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return value.strip().strip('"')
    return ""


def _address_of(hop: str) -> str | None:
    text = hop.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(_plain(ip_address(text)))
    except ValueError:
        return None


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 socket reports in IPv6 notation."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
