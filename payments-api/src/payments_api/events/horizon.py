"""Waits for open transactions, each made once for all requests that need its answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import single_statement
from payments_core.db.event_log import last_final_position

BEFORE_ALL = -1  # No position: an empty log ends at 0.

Found = TypeVar("Found")


class Horizon(Generic[Found]):
    """Searches for the last final position, with one connection for any number of requests.

    A search may wait some seconds for open writers. Requests that arrive meanwhile share the next
    one, which sees what was committed before them.
    """

    def __init__(
        self, engine: AsyncEngine, search: Callable[[AsyncConnection], Awaitable[Found]]
    ) -> None:
        self._engine = engine
        self._search_with = search
        self._next: asyncio.Task[Found] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def found(self) -> Found:
        """Return the result of a search that begins after this call."""
        if self._next is None:
            self._next = asyncio.create_task(self._search())
            self._next.add_done_callback(_retrieve)
        return await asyncio.shield(self._next)

    async def _search(self) -> Found:
        async with self._one_at_a_time:
            self._next = None
            async with single_statement(self._engine) as connection:
                return await self._search_with(connection)


async def last_final_event(connection: AsyncConnection) -> int:
    """Return the last id below which no event can appear any more.

    BEFORE_ALL if a writer stays open: nothing beyond what a reader knows is final.
    """
    return await last_final_position(connection, BEFORE_ALL)


def _retrieve(search: "asyncio.Task[Found]") -> None:
    """Take the error of a search whose requests have all gone."""
    if not search.cancelled():
        search.exception()
