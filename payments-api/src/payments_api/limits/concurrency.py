"""How many requests to have under way at once, found by how long they take.

Beyond what a process can do, requests only wait, for one another; so their number is bounded,
and the bound follows their latency: additive increase, multiplicative decrease, as TCP does it.
The signal is CoDel's (RFC 8289): the quickest request of an interval. One slow request says
nothing about a queue; that none was quick does.
"""

from collections.abc import Callable
from time import monotonic

INTERVAL_SECONDS = 0.1
DECREASE = 0.8
INCREASE = 8  # For each interval in which the bound was felt.
STALLED_SECONDS = 2.0  # Nothing was answered for so long: the database stands still.


class ConcurrencyLimit:
    """Admits requests while fewer are under way than the limit of the moment.

    `latency_seconds`: the quickest request may take so long before the limit shrinks.
    `least`: never fewer than this, or nobody would find out that it got better.
    """

    def __init__(
        self,
        latency_seconds: float,
        least: int,
        most: int,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._latency_seconds = latency_seconds
        self._least = min(least, most)
        self._most = most
        self._clock = clock
        self.limit = most
        self.under_way = 0
        self._quickest = float("inf")
        self._was_full = False
        self._interval_ends = clock() + INTERVAL_SECONDS
        self._answered_at = clock()

    def admit(self) -> float | None:
        """When it began, to be given to `answered`; None when it has to be refused."""
        if self.is_full():
            return None
        now = self._clock()
        if self.under_way == 0:
            self._answered_at = now  # Nobody waited: silence was no stall.
        self.under_way += 1
        return now

    def is_full(self, expected: int = 0) -> bool:
        """Whether another request would be refused now; asking is noted, as being refused is.

        `expected` were let in and will ask to be admitted before it.
        """
        under_way = self.under_way + expected
        full = under_way >= self.limit or (
            under_way >= self._least and self._clock() > self._answered_at + STALLED_SECONDS
        )
        self._was_full |= full
        return full

    def answered(self, began: float) -> None:
        """A request that was admitted has ended."""
        now = self._clock()
        self.under_way -= 1
        self._answered_at = now
        self._quickest = min(self._quickest, now - began)
        if now >= self._interval_ends:
            self._adjust()
            self._quickest, self._was_full = float("inf"), False
            self._interval_ends = now + INTERVAL_SECONDS

    def _adjust(self) -> None:
        if self._quickest > self._latency_seconds:
            busiest = min(self.limit, max(self.under_way, self._least))
            self.limit = max(self._least, int(busiest * DECREASE))
        elif self._was_full:
            self.limit = min(self._most, self.limit + INCREASE)
