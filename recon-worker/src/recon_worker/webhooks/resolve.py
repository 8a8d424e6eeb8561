"""Look up a destination's addresses, and refuse those that are not on the internet."""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from payments_core.webhooks.destination import Destination, IPAddress, may_connect

LOOKUPS_MAX = 128  # At the same time; a name server that hangs holds one for each endpoint.
ADDRESSES_MAX = 3  # Tried for one attempt.

Lookup = Callable[[str, int], list[Any]]


class AddressRefused(Exception):
    """The URL's host is not on the internet."""


class ResolverBusy(Exception):
    """Too many names are being looked up: the attempt has not begun."""


def _system_lookup(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class Resolver:
    """The system's resolver in threads of its own, one at a time for a name and for an endpoint.

    asyncio's threads are few and everyone's: a name server that does not answer would hold them.
    These are daemons, so a lookup that hangs does not keep a stopping process alive.
    """

    def __init__(self, lookup: Lookup = _system_lookup) -> None:
        self._lookup = lookup
        self._running: dict[tuple[str, int], asyncio.Task[list[Any]]] = {}
        # An endpoint whose URL changes must not begin a lookup for each while they hang.
        self._endpoints: set[UUID] = set()

    async def addresses(self, destination: Destination, endpoint_id: UUID) -> Sequence[IPAddress]:
        """Return the addresses to connect to. Raises AddressRefused, ResolverBusy, OSError.

        One address that is refused refuses the name: no host of the internet has it by mistake.
        """
        try:
            found = [ipaddress.ip_address(destination.host)]
        except ValueError:
            found = await self._resolved(destination, endpoint_id)
        if not found or not all(may_connect(destination, address) for address in found):
            raise AddressRefused(AddressRefused.__doc__)
        return found[:ADDRESSES_MAX]

    async def _resolved(self, destination: Destination, endpoint_id: UUID) -> list[IPAddress]:
        key = (destination.host, destination.port)
        running = self._running.get(key)
        if running is None:
            if endpoint_id in self._endpoints or len(self._running) >= LOOKUPS_MAX:
                raise ResolverBusy(ResolverBusy.__doc__)
            running = asyncio.create_task(self._in_thread(key))
            self._running[key] = running
            self._endpoints.add(endpoint_id)
            running.add_done_callback(lambda done: self._forget(key, endpoint_id, done))
        # Shielded: an attempt that gives up must not end the lookup of another.
        rows = await asyncio.shield(running)
        return list(dict.fromkeys(ipaddress.ip_address(row[4][0]) for row in rows))

    async def _in_thread(self, key: tuple[str, int]) -> list[Any]:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[Any]] = loop.create_future()

        def settle(rows: list[Any], error: Exception | None) -> None:
            if found.done():
                return
            if error is None:
                found.set_result(rows)
            else:
                found.set_exception(error)

        def look_up() -> None:
            rows: list[Any] = []
            error: Exception | None = None
            try:
                rows = self._lookup(*key)
            except Exception as failed:  # Raised where it is awaited.
                error = failed
            with suppress(RuntimeError):  # The loop is closed: nothing waits any more.
                loop.call_soon_threadsafe(settle, rows, error)

        threading.Thread(target=look_up, name="webhook-dns", daemon=True).start()
        return await found

    def _forget(
        self, key: tuple[str, int], endpoint_id: UUID, done: "asyncio.Task[list[Any]]"
    ) -> None:
        self._running.pop(key, None)
        self._endpoints.discard(endpoint_id)
        if not done.cancelled():
            done.exception()  # Retrieved, also where every attempt has given up.

    async def close(self) -> None:
        """Give up the lookups under way."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
