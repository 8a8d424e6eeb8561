"""The collaborators of the handlers: made once by app.py, found here by every request.

A leaf: it names their classes for the type checker alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from quart import current_app
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_api.http.errors import Overloaded
from payments_core.db.engine import POOL_WAIT_SECONDS, single_statement, transaction

if TYPE_CHECKING:
    from payments_api.auth.key_cache import KeyRing
    from payments_api.events.feed import EventFeed
    from payments_api.http.pagination import CursorSigner
    from payments_api.http.shared_search import SharedSearch
    from payments_api.limits.client_limits import ClientLimits
    from payments_api.payments.writer import PaymentWriter
    from payments_core.queue.notify import Notifier
    from payments_core.server.options import Lifecycle

EXTENSION = "payments_api"


@dataclass(frozen=True, slots=True)
class Services:
    """One process's engine, writer, feed and the like; `keys` is None with authentication off."""

    engine: AsyncEngine
    notifier: Notifier
    writer: PaymentWriter
    events: EventFeed
    last_final_event: SharedSearch[int]
    open_postings_ended: SharedSearch[bool]
    cursors: CursorSigner
    lifecycle: Lifecycle
    limits: ClientLimits
    # Bounds the connections that clients' requests hold together: see `load_read`.
    reading: asyncio.Semaphore
    keys: KeyRing | None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection for an operator's read: each statement sees the latest data."""
        async with single_statement(self.engine) as connection:
            yield connection

    @asynccontextmanager
    async def load_read(self) -> AsyncIterator[AsyncConnection]:
        """Open one for a client's request, leaving some connections to the writer and operators.

        Raises Overloaded.
        """
        async with self._turn(), single_statement(self.engine) as connection:
            yield connection

    @asynccontextmanager
    async def load_snapshot(self) -> AsyncIterator[AsyncConnection]:
        """Open one for a client's reads that must see one snapshot. Raises Overloaded."""
        async with self._turn(), self.engine.connect() as connection:
            yield await connection.execution_options(isolation_level="REPEATABLE READ")

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if not self.reading.locked():
            async with self.reading:
                yield
            return
        try:
            async with asyncio.timeout(POOL_WAIT_SECONDS):
                await self.reading.acquire()
        except TimeoutError:
            raise Overloaded("Too many requests are waiting for the database.") from None
        try:
            yield
        finally:
            self.reading.release()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that commits when the block ends."""
        async with transaction(self.engine) as tx:
            yield tx


def services() -> Services:
    """Return the services of the app that handles the current request."""
    return cast(Services, current_app.extensions[EXTENSION])
