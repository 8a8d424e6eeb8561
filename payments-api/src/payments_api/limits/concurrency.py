"""Concurrency limit: bound the requests in progress by their latency.

Beyond a process's capacity, requests only wait for one another. So their number is bounded, and
the bound follows their latency: additive increase, multiplicative decrease, as in TCP. The signal
is CoDel's (RFC 8289): the quickest request of an interval. One slow request says nothing about a
queue; an interval without a quick one does.
"""

from collections.abc import Callable
from time import monotonic

INTERVAL_SECONDS = 0.1
DECREASE = 0.8
INCREASE = 8  # For each interval in which the limit was reached.
STALLED_SECONDS = 2.0  # Without an answer for this long, the database hangs.


class ConcurrencyLimit:
    """Admits requests while fewer are in progress than the current limit.

    `latency_seconds`: the limit shrinks when even the quickest request takes longer.
    `least`: the limit never falls below it, or a recovery would go unnoticed.
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
        """Return the start time, to pass to `answered`, or None if the request is refused."""
        now = self._clock()
        if self.under_way >= self.limit or (
            self.under_way >= self._least and now > self._answered_at + STALLED_SECONDS
        ):
            self._was_full = True
            return None
        if self.under_way == 0:
            self._answered_at = now  # No request was waiting: the silence was no stall.
        self.under_way += 1
        return now

    def answered(self, started: float) -> None:
        """Note the end of an admitted request."""
        now = self._clock()
        self.under_way -= 1
        self._answered_at = now
        self._quickest = min(self._quickest, now - started)
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
