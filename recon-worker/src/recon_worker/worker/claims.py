"""How a lane claims: from where on, and how many at once."""

from collections.abc import Callable, Sequence
from time import monotonic

from payments_core.queue.jobs import FRONT, ClaimCursor, ClaimedJob

# A look from the front is followed by one only after so many times what it took...
PAUSE_AFTER_A_LOOK = 10.0
# ... if there was more than could be taken, or if it took so long.
SLOW_SECONDS = 0.1

LARGEST_TO_USUAL = 5
# A job may take so many times what it took at best: then batches grow, or may shrink again.
DEAR, CHEAP = 1.5, 1.2
FORGETTING = 1.01  # For each batch: what was best on a calm day is not for ever.


class ClaimOrder:
    """One lane's.

    While somebody holds a snapshot (a long report, a backup), the index of what can be claimed
    keeps an entry of every job that was claimed since, and a look from the front passes them all.
    So a lane with a backlog goes on where it was. Jobs that came in behind it (their transaction
    committed late, or their worker died, or they are urgent) wait for the next look from the
    front: not for long, since what the looks may take together is bounded, a tenth of the time.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._last = FRONT
        self._front_at = clock()

    def next_cursor(self) -> ClaimCursor:
        """Behind which to claim."""
        return FRONT if self._clock() >= self._front_at else self._last

    def seconds_to_front(self) -> float:
        """How long a lane may sleep that found nothing behind its cursor; 0 if it may for long."""
        return max(0.0, self._front_at - self._clock())

    def claimed(
        self, cursor: ClaimCursor, jobs: Sequence[ClaimedJob], limit: int, seconds: float
    ) -> None:
        """Note what a claim behind the cursor found, and how long it took."""
        if jobs:
            self._last = max(job.cursor for job in jobs)
        if cursor == FRONT and (len(jobs) == limit or seconds > SLOW_SECONDS):
            self._front_at = self._clock() + PAUSE_AFTER_A_LOOK * seconds


class BatchSize:
    """How many jobs a lane takes at once: as set, and more where a batch by itself costs much.

    Under a held snapshot each account's head row leaves a version behind for each batch that moves
    it, and every later batch passes them: then few large batches cost less than many small ones.
    """

    def __init__(self, usual: int) -> None:
        self._usual = usual
        self._best_seconds = float("inf")  # For one job.
        self.jobs = usual

    def settled(self, jobs: int, seconds: float) -> None:
        """Note how long a batch took, claim and all."""
        if jobs < self.jobs:
            self.jobs = self._usual  # No backlog.
            return
        each = seconds / jobs
        self._best_seconds = min(self._best_seconds * FORGETTING, each)
        if each > DEAR * self._best_seconds:
            self.jobs = min(2 * self.jobs, LARGEST_TO_USUAL * self._usual)
        elif each < CHEAP * self._best_seconds:
            self.jobs = max(self._usual, self.jobs // 2)
