"""Searches of the database, each made once for all requests that need its result."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import single_statement

Result = TypeVar("Result")


class SharedSearch(Generic[Result]):
    """A search with one connection for any number of requests.

    A search may wait some seconds for open writers. Requests that arrive meanwhile share the next
    one, which sees what was committed before them.
    """

    def __init__(
        self, engine: AsyncEngine, search: Callable[[AsyncConnection], Awaitable[Result]]
    ) -> None:
        self._engine = engine
        self._search_with = search
        self._next: asyncio.Task[Result] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def result(self) -> Result:
        """Return the result of a search that begins after this call."""
        if self._next is None:
            self._next = asyncio.create_task(self._search())
            self._next.add_done_callback(_retrieve)
        return await asyncio.shield(self._next)

    async def _search(self) -> Result:
        async with self._one_at_a_time:
            self._next = None
            async with single_statement(self._engine) as connection:
                return await self._search_with(connection)


def _retrieve(search: "asyncio.Task[Result]") -> None:
    """Take the error of a search whose requests have all gone."""
    if not search.cancelled():
        search.exception()
