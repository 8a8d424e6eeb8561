"""The Host names for which a service without authentication answers."""

import re
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator

from payments_core.config import is_loopback

LABELS = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
NAME = re.compile(rf"\.?{LABELS}(\.{LABELS})*", re.IGNORECASE)


def _split(names: str) -> tuple[str, ...]:
    return tuple(name for each in names.split(",") if (name := each.strip().lower()))


def _checked(names: str) -> str:
    for name in _split(names):
        if not NAME.fullmatch(name):
            raise ValueError(f"must be host names without ports, comma-separated, not {name}")
    return names


HostNames = Annotated[str, AfterValidator(_checked)]


class AllowedHosts:
    """Loopback names and addresses, and the given ones.

    `names`: comma-separated; `.example.com` stands for every subdomain of it. `any_address`:
    whether IP addresses are allowed too. A rebound page is loaded by a name, never by an address.
    """

    def __init__(self, names: str, *, any_address: bool) -> None:
        listed = _split(names)
        self._names = frozenset(listed)
        self._suffixes = tuple(name for name in listed if name.startswith("."))
        self._any_address = any_address

    def allows(self, host: str) -> bool:
        """Return whether to answer for the Host header, which may end with a port."""
        name, bracket, _ = host.lower().partition("]")
        name = name[1:] if bracket else name.partition(":")[0]
        if is_loopback(name):
            return True
        if self._any_address and _is_address(name):
            return True
        return (name in self._names or name.endswith(self._suffixes)) and name[:1] != "."


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
