"""The last final position of the event log, found once for all requests that wait for it."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement
from payments_core.db.event_log import last_final_position

BEFORE_ALL = -1  # No position: an empty log ends at 0.


class Horizon:
    """Finds how far the log is final, with one connection for any number of requests.

    A search waits up to a second for open writers. Requests that arrive meanwhile share the next
    one, which sees what was committed before them.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._next: asyncio.Task[int] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def last_final(self) -> int:
        """Return the last id below which no event can appear any more.

        BEFORE_ALL if a writer stays open: nothing beyond what a reader knows is final.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._search())
            self._next.add_done_callback(_retrieve)
        return await asyncio.shield(self._next)

    async def _search(self) -> int:
        async with self._one_at_a_time:
            self._next = None
            async with single_statement(self._engine) as connection:
                return await last_final_position(connection, BEFORE_ALL)


def _retrieve(search: "asyncio.Task[int]") -> None:
    """Take the error of a search whose requests have all gone."""
    if not search.cancelled():
        search.exception()
