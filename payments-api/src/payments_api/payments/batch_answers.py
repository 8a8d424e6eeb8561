"""The answers to the orders of one batch: a place for each, and one future for all.

A future for each of a thousand, and a gather over them, cost as much as checking the orders.
"""

import asyncio
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class BatchAnswers(Generic[T]):
    """As many places as there are orders; `answers` is in their order."""

    def __init__(self, size: int) -> None:
        self.answers: list[T | BaseException] = [_MISSING] * size
        self._left = 0
        self._all: asyncio.Future[None]

    def expect(self, places: list[int]) -> "list[Place[T]]":
        """The places that are answered next, all of them before `answered` returns."""
        self._left = len(places)
        self._all = asyncio.get_running_loop().create_future()
        return [Place(self, place) for place in places]

    async def answered(self) -> None:
        """Wait for what was expected."""
        await self._all

    def is_answered(self, place: int) -> bool:
        """Whether this one has its answer, or nobody waits for it any more."""
        return self.answers[place] is not _MISSING or self._all.cancelled()

    def put(self, place: int, answer: T | BaseException) -> None:
        """The one answer to an order."""
        self.answers[place] = answer
        self._left -= 1
        if not self._left and not self._all.done():
            self._all.set_result(None)


class _Missing(Exception):
    """No answer yet."""


_MISSING = _Missing()


@dataclass(slots=True)
class Place(Generic[T]):
    """One order's place, for whoever answers it: like the future it stands for."""

    batch: BatchAnswers[T]
    place: int

    def done(self) -> bool:
        """Whether an answer is no longer wanted."""
        return self.batch.is_answered(self.place)

    def set_result(self, result: T, /) -> None:
        """Answer with a result."""
        self.batch.put(self.place, result)

    def set_exception(self, exception: BaseException, /) -> None:
        """Answer with an error."""
        self.batch.put(self.place, exception)
