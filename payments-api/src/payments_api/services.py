"""What the handlers need besides the request: made once, by app.py, found here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from quart import current_app
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_api.auth.key_cache import KeyRing
from payments_api.events.feed import EventFeed
from payments_api.http.errors import Overloaded
from payments_api.http.pagination import CursorSigner
from payments_api.limits.client_limits import ClientLimits
from payments_api.payments.writer import PaymentWriter
from payments_core.db.engine import POOL_WAIT_SECONDS, single_statement, transaction
from payments_core.queue.notify import Notifier
from payments_core.server.options import Lifecycle

EXTENSION = "payments_api"


@dataclass(frozen=True, slots=True)
class Services:
    """One process's engine, writer, feed and the like. `keys` is None where none are asked for."""

    engine: AsyncEngine
    notifier: Notifier
    writer: PaymentWriter
    events: EventFeed
    cursors: CursorSigner
    lifecycle: Lifecycle
    limits: ClientLimits
    # Clients' reads together never hold all connections: see `load_read`.
    reading: asyncio.Semaphore
    keys: KeyRing | None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for an operator's reading: each statement sees the latest."""
        async with single_statement(self.engine) as connection:
            yield connection

    @asynccontextmanager
    async def load_read(self) -> AsyncIterator[AsyncConnection]:
        """The same for what clients ask; some connections are left for writers and operators.

        Raises Overloaded.
        """
        async with self._turn(), single_statement(self.engine) as connection:
            yield connection

    @asynccontextmanager
    async def load_snapshot(self) -> AsyncIterator[AsyncConnection]:
        """The same, on which all statements see the same moment. Raises Overloaded."""
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
            raise Overloaded("Other reads take too long.") from None
        try:
            yield
        finally:
            self.reading.release()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction, committed when the block ends."""
        async with transaction(self.engine) as tx:
            yield tx


def services() -> Services:
    """The services of the app that handles the current request."""
    return cast(Services, current_app.extensions[EXTENSION])
