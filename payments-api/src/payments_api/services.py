"""What the handlers need besides the request: made once, by app.py, found here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from quart import current_app
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_api.create_payment import PaymentWriter
from payments_api.cursors import CursorSigner
from payments_api.event_feed import EventFeed
from payments_core.database import single_statement, transaction
from payments_core.notices import Notifier
from payments_core.serving import Lifecycle

EXTENSION = "payments_api"


@dataclass(frozen=True, slots=True)
class Services:
    """One process's engine, writer, feed and the like."""

    engine: AsyncEngine
    notifier: Notifier
    writer: PaymentWriter
    events: EventFeed
    cursors: CursorSigner
    lifecycle: Lifecycle

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading: each statement sees the latest."""
        async with single_statement(self.engine) as connection:
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading on which all statements see the same moment."""
        async with self.engine.connect() as connection:
            yield await connection.execution_options(isolation_level="REPEATABLE READ")

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction, committed when the block ends."""
        async with transaction(self.engine) as tx:
            yield tx


def services() -> Services:
    """The services of the app that handles the current request."""
    return cast(Services, current_app.extensions[EXTENSION])
