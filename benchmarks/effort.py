"""The size of a run: full, shortened to a time budget, or a quick trial."""

from dataclasses import dataclass, replace
from pathlib import Path

# Measured overhead of each part in seconds: starting processes, filling backlogs, audits.
OVERHEAD_SECONDS_PER_SAMPLE = 6.0
WORKER_SAMPLES, CREATE_SAMPLES, LATENCY_SAMPLES, GROWTH_SAMPLES = 17, 8, 3, 22
TUNE_SAMPLES, TUNE_SECONDS_PER_SAMPLE = 76, 6.0
STATEMENT_SECONDS_PER_SAMPLE = 10.0
RECONCILED_DAY_SECONDS = 25.0  # To import and to match.
RECONCILED_SECONDS_PER_PAYMENT = 20e-6  # To match a tenth of all payments.
LOAD_SECONDS_PER_PAYMENT = 34e-6  # 5.6 minutes for ten million.
JOBS_PER_SECOND = 8_000  # Two workers beside their feeder.


@dataclass(frozen=True, slots=True)
class Effort:
    """The sizes of a run: each contender gives `repeats` samples of `seconds`."""

    repeats: int = 5
    seconds: float = 4.0
    latency_seconds: float = 20.0
    idle_seconds: float = 60.0  # Never shortened: tasks that run every minute must run once in it.
    grown_payments: int = 10_000_000
    snapshot_minutes: float = 10.0
    bloat_jobs: int = 2_000_000
    # Where the grown database is kept for the next run; None creates and deletes one.
    grown_data: str | None = None

    def expected_minutes(self, parts: frozenset[str]) -> float:
        """Return roughly how long the parts take on two cores."""
        sample = self.seconds + OVERHEAD_SECONDS_PER_SAMPLE
        seconds = {
            "tune": TUNE_SAMPLES * TUNE_SECONDS_PER_SAMPLE,
            "statements": STATEMENT_SECONDS_PER_SAMPLE * self.repeats,
            "reconcile": self._load_seconds()
            + 2 * RECONCILED_DAY_SECONDS * self.repeats
            + RECONCILED_SECONDS_PER_PAYMENT * self.grown_payments,
            "webhooks": self.latency_seconds + 10,
            "worker": WORKER_SAMPLES * self.repeats * sample,
            "create": CREATE_SAMPLES * self.repeats * sample,
            "batch": self.repeats * sample,
            "overload": 5 * (2 * self.seconds + 5) + 10,
            "latency": LATENCY_SAMPLES * (self.latency_seconds + 10),
            "idle": self.idle_seconds + 10,
            "memory": 3 * self.seconds + 10,
            "growth": self._load_seconds() + GROWTH_SAMPLES * self.repeats * (self.seconds / 2 + 1),
            "snapshot": self.snapshot_minutes * 60 * 1.2 + 30,
            "bloat": self.bloat_jobs / JOBS_PER_SECOND + 15,
        }
        return sum(spent for part, spent in seconds.items() if part in parts) / 60

    def _load_seconds(self) -> float:
        if self.grown_data and Path(self.grown_data).exists():
            return 0.0  # An earlier run kept the database.
        return self.grown_payments * LOAD_SECONDS_PER_PAYMENT

    def within(self, minutes: float, parts: frozenset[str]) -> "Effort":
        """Return a size that fits the budget, at least a fifth of this one.

        Samples shrink first. The duration of the held snapshot and the number of jobs in the bloat
        part belong to the claims, and shrink only if that is not enough. Repeats and the grown
        database keep their size.
        """
        fitting = self
        for samples, claims in [(tenths, 10) for tenths in range(10, 2, -1)] + [
            (tenths, 2 * tenths) for tenths in (4, 3, 2, 1)
        ]:
            fitting = replace(
                self,
                seconds=max(1.0, self.seconds * samples / 10),
                latency_seconds=max(5.0, self.latency_seconds * samples / 10),
                snapshot_minutes=self.snapshot_minutes * claims / 10,
                bloat_jobs=self.bloat_jobs * claims // 10,
            )
            if fitting.expected_minutes(parts) <= minutes:
                break
        return fitting


# Only shows that every part works; the figures are meaningless.
QUICK = Effort(
    repeats=1,
    seconds=0.5,
    latency_seconds=1.0,
    idle_seconds=1.0,
    grown_payments=20_000,
    snapshot_minutes=0.1,
    bloat_jobs=10_000,
)
