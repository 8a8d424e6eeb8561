"""A lane's position in the queue, and the number of jobs that it claims at once."""

from collections.abc import Callable, Sequence
from time import monotonic

from payments_core.queue.jobs import QUEUE_FRONT, ClaimCursor, ClaimedJob

# After a slow claim from the front, wait this many times its duration before the next one.
# "Slow": it filled its limit, or took longer than SLOW_SECONDS.
FRONT_CLAIM_PAUSE_FACTOR = 10.0
SLOW_SECONDS = 0.1

GROWTH_MAX = 5  # A batch grows to this many times its configured size.
# Batches grow while the time per job exceeds SLOWER_RATIO times the best seen, and shrink below
# FAST_RATIO times the best.
SLOWER_RATIO, FAST_RATIO = 1.5, 1.2
BEST_DECAY = 1.01  # Per batch, so that the best of a quiet time does not last.


class ClaimOrder:
    """One lane's position in the queue.

    While a transaction holds a snapshot (a long report, a backup), the index of claimable jobs
    keeps an entry of every job claimed since, and a claim from the front walks over all of them.
    A lane with a backlog therefore continues behind its last claim. Jobs that appear before that
    position (committed late, freed from a dead worker, or urgent) wait for the next claim from
    the front. Those claims may use a tenth of the time, so the wait is short.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._last = QUEUE_FRONT
        self._front_at = clock()

    def next_cursor(self) -> ClaimCursor:
        """Return the position behind which to claim."""
        return QUEUE_FRONT if self._clock() >= self._front_at else self._last

    def seconds_to_front(self) -> float:
        """Return the seconds until the next claim from the front, or 0 if it is due."""
        return max(0.0, self._front_at - self._clock())

    def claimed(
        self, cursor: ClaimCursor, jobs: Sequence[ClaimedJob], limit: int, seconds: float
    ) -> None:
        """Record which jobs a claim took, and its duration."""
        if jobs:
            self._last = max(job.cursor for job in jobs)
        if cursor == QUEUE_FRONT and (len(jobs) == limit or seconds > SLOW_SECONDS):
            self._front_at = self._clock() + FRONT_CLAIM_PAUSE_FACTOR * seconds


class BatchSize:
    """How many jobs a lane claims at once: the configured number, or more while batches are slow.

    Under a held snapshot each batch leaves a dead version of each head row that it moves, and
    every later batch walks over them. Few large batches then cost less than many small ones.
    """

    def __init__(self, usual: int) -> None:
        self._usual = usual
        self._best_seconds = float("inf")  # Per job.
        self.jobs = usual

    def settled(self, jobs: int, seconds: float) -> None:
        """Record how long a batch took, its claim included."""
        if jobs < self.jobs:
            self.jobs = self._usual  # No backlog.
            return
        each = seconds / jobs
        self._best_seconds = min(self._best_seconds * BEST_DECAY, each)
        if each > SLOWER_RATIO * self._best_seconds:
            self.jobs = min(2 * self.jobs, GROWTH_MAX * self._usual)
        elif each < FAST_RATIO * self._best_seconds:
            self.jobs = max(self._usual, self.jobs // 2)
