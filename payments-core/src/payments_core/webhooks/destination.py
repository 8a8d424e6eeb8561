"""Where a webhook may be sent: rules for URLs, and for the addresses to which their names resolve.

A URL is checked when it is stored and again at each attempt; its addresses are checked for each
connection, which is then opened to that very address. This defends against DNS rebinding.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from payments_core.domain.webhooks import URL_MAX_CHARS

HTTPS_PORT = 443  # The only one, so that the network policy for the way out can name it.
HOST_MAX_CHARS = 253

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_PRINTABLE = re.compile(r"[!-\[\]-~]+")  # Visible ASCII without the backslash.
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})+")
# A browser, curl and getaddrinfo read such a host as an IPv4 address: 2130706433, 0x7f.1, 0177.1.
_ENDS_IN_A_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)\.?")

# IANA's special-purpose registries, as of 2025: what Python calls global depends on its version.
# The network policy of the way out lists the same.
REFUSED_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24"),
        *("192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3", "168.63.129.16/32"),
        # Of 2000::/3: protocol assignments with Teredo and ORCHID, documentation, 6to4, AS112.
        *("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
    )
)
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # No other IPv6 address is on the internet.


class UrlRefused(ValueError):
    """No webhook may be sent to the URL; the message completes "the URL ..."."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL's parts. `host` is a name or an address; `loopback`: it may only be this machine."""

    scheme: str
    host: str
    port: int
    target: str
    loopback: bool

    @property
    def authority(self) -> str:
        """The Host header's value."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = HTTPS_PORT if self.scheme == "https" else 80
        return host if self.port == usual else f"{host}:{self.port}"


def parse_url(url: str, *, loopback_allowed: bool = False) -> Destination:
    """Return the parts of a URL to which webhooks may be sent. Raises UrlRefused.

    `loopback_allowed` also admits http and any port, for 127.0.0.1, ::1 and localhost: the
    receiver of a developer.
    """
    if not 1 <= len(url) <= URL_MAX_CHARS or not _PRINTABLE.fullmatch(url):
        raise UrlRefused(f"must have 1 to {URL_MAX_CHARS} visible ASCII characters")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise UrlRefused("is not a URL") from None
    if parts.scheme not in ("https", "http"):
        raise UrlRefused("must begin with https://")
    if "@" in parts.netloc:
        raise UrlRefused("must not hold a user name or password")
    if "#" in url:
        raise UrlRefused("must not have a fragment")
    address = _checked_host(host, parts.netloc)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if loopback_allowed and (host == "localhost" or (address and address.is_loopback)):
        usual = HTTPS_PORT if parts.scheme == "https" else 80
        return Destination(parts.scheme, host, usual if port is None else port, target, True)
    if parts.scheme != "https":
        raise UrlRefused("must begin with https://")
    if port not in (None, HTTPS_PORT):
        raise UrlRefused(f"must use port {HTTPS_PORT}")
    if address is not None and not is_public(address):
        raise UrlRefused("must not point into a private network")
    if address is None and not _NAME.fullmatch(host):
        raise UrlRefused("must name a host on the internet, such as hooks.example.com")
    return Destination("https", host, HTTPS_PORT, target, False)


def _checked_host(host: str, netloc: str) -> IPAddress | None:
    """Return the address that the host is, or None if it is a name. Raises UrlRefused."""
    if not 1 <= len(host) <= HOST_MAX_CHARS:
        raise UrlRefused("must name a host")
    if netloc.startswith("["):
        try:
            return ipaddress.IPv6Address(host)  # With a zone, it is not on the internet.
        except ValueError:
            raise UrlRefused("has a malformed IPv6 address") from None
    if _ENDS_IN_A_NUMBER.fullmatch(host):
        try:
            return ipaddress.IPv4Address(host)  # Refuses octal, hexadecimal and short forms.
        except ValueError:
            raise UrlRefused("must write an IPv4 address as four decimal numbers") from None
    return None


def is_public(address: IPAddress) -> bool:
    """Return whether the address is one host on the internet."""
    if isinstance(address, ipaddress.IPv6Address) and (
        address not in GLOBAL_UNICAST or address.scope_id is not None
    ):
        return False
    return not any(address in network for network in REFUSED_NETWORKS)


def may_connect(destination: Destination, address: IPAddress) -> bool:
    """Return whether a connection for the destination may be opened to this address."""
    return address.is_loopback if destination.loopback else is_public(address)
