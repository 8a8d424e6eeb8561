"""Halving of batches, to find the rows that the database rejects."""

from collections.abc import Sequence
from typing import TypeVar

_Row = TypeVar("_Row")


def halves(batch: Sequence[_Row]) -> list[list[_Row]]:
    """Return the two halves of a batch in order, without an empty one."""
    middle = len(batch) // 2
    return [list(half) for half in (batch[:middle], batch[middle:]) if half]
