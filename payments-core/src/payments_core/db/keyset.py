"""A walk along a list's key: where it starts, in which direction, and the SQL for both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement

from payments_core.db.engine import AnyRow

KeyT = TypeVar("KeyT")

# Rows that one request reads for a filter without an index: some ten milliseconds' work.
EXAMINED_MAX = 10_000

BACKWARD = "<"  # Begins the position of a page before another; no key begins with it.


@dataclass(frozen=True, slots=True)
class Walk(Generic[KeyT]):
    """Where a page starts and in which direction its rows are read.

    Forward pages leave `start` out, backward pages include it: the page before another ends where
    that one starts, so no row is on both and none between them.
    """

    start: KeyT | None = None
    backward: bool = False
    list_descends: bool = True  # The order of the list itself.

    @property
    def descending(self) -> bool:
        """Whether the rows are read by descending key."""
        return self.list_descends is not self.backward

    @property
    def comparison(self) -> str:
        """The operator between a list's key and `start`, for a statement in SQL."""
        return ("<" if self.descending else ">") + ("=" if self.backward else "")

    @property
    def direction(self) -> str:
        """The direction of a list's key, for a statement in SQL."""
        return "DESC" if self.descending else "ASC"

    def skipped(self, examined: int) -> int:
        """Return the OFFSET of the row at which to go on after so many rows were examined.

        A forward page leaves its start out, a backward one includes it.
        """
        return examined if self.backward else examined - 1

    def beyond(self, key: ColumnElement[Any], start: Any = None) -> list[ColumnElement[bool]]:
        """Return the WHERE terms for the rows from `start` on; `key` holds the list's key."""
        start = self.start if start is None else start
        if start is None:
            return []
        if self.backward:
            return [key <= start if self.descending else key >= start]
        return [key < start if self.descending else key > start]

    def order(self, *keys: ColumnElement[Any]) -> list[ColumnElement[Any]]:
        """Return the ORDER BY terms, in the direction in which the rows are read."""
        return [key.desc() if self.descending else key.asc() for key in keys]


@dataclass(frozen=True, slots=True)
class Found(Generic[KeyT]):
    """Rows of a page; `stopped_at` is where the next one starts if this one is not full."""

    rows: Sequence[AnyRow]
    stopped_at: KeyT | None = None


NEWEST_FIRST: Walk[Any] = Walk()  # From the start of a list by descending key.
OLDEST_FIRST: Walk[Any] = Walk(list_descends=False)
