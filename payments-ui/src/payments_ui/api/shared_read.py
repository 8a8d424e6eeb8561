"""Reads shared by concurrent pages: one request to the API serves them all."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class SharedRead(Generic[T]):
    """A read whose result all callers within `fresh_seconds` share: 200 pages cost one request.

    Errors are not kept: callers that wait for the read get its error, the next one reads again.
    """

    def __init__(self, read: Callable[[], Awaitable[T]], fresh_seconds: float) -> None:
        """Share the results of `read`."""
        self._read = read
        self._fresh_seconds = fresh_seconds
        self._running: asyncio.Task[T] | None = None
        self._done_at = 0.0

    async def get(self) -> T:
        """Return a fresh result, or raise the error of the read."""
        task = self._running
        stale = task is None or (
            task.done()
            and (self._failed(task) or monotonic() - self._done_at > self._fresh_seconds)
        )
        if task is None or stale:
            task = self._running = asyncio.create_task(self._timed())
        # A page that disconnects must not cancel the read of the others.
        return await asyncio.shield(task)

    @staticmethod
    def _failed(task: asyncio.Task[T]) -> bool:
        return task.cancelled() or task.exception() is not None

    async def _timed(self) -> T:
        try:
            return await self._read()
        finally:
            self._done_at = monotonic()


class SharedReads(Generic[K, T]):
    """A shared read per key; the `keys_max` most recently used ones are kept."""

    def __init__(
        self, read: Callable[[K], Awaitable[T]], fresh_seconds: float, keys_max: int
    ) -> None:
        """Share the results of `read(key)`."""
        self._read = read
        self._fresh_seconds = fresh_seconds
        self._keys_max = keys_max
        self._reads: OrderedDict[K, SharedRead[T]] = OrderedDict()

    async def get(self, key: K) -> T:
        """Return a fresh result for the key, or raise the error of the read."""
        if key not in self._reads:
            self._reads[key] = SharedRead(lambda: self._read(key), self._fresh_seconds)
        self._reads.move_to_end(key)
        if len(self._reads) > self._keys_max:
            self._reads.popitem(last=False)
        return await self._reads[key].get()
