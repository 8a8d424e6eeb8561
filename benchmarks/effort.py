"""How much is measured: what a full run takes, what fits into a budget, what only tries it out."""

from dataclasses import dataclass, replace
from pathlib import Path

# What a part takes beside its samples, in seconds: processes' starts, backlogs, audits. Measured.
OVERHEAD_SECONDS_PER_SAMPLE = 6.0
WORKER_SAMPLES, CREATE_SAMPLES, LATENCY_SAMPLES, GROWTH_SAMPLES = 17, 8, 3, 22
TUNE_SAMPLES, TUNE_SECONDS_PER_SAMPLE = 76, 6.0
LOAD_SECONDS_PER_PAYMENT = 34e-6  # 5.6 minutes for ten million.
JOBS_PER_SECOND = 8_000  # Of two workers beside their feeder.


@dataclass(frozen=True, slots=True)
class Effort:
    """Sizes of a run; `seconds` is one sample's, of which each contender gives `repeats`."""

    repeats: int = 5
    seconds: float = 4.0
    latency_seconds: float = 20.0
    idle_seconds: float = 60.0  # What runs each minute runs once in it, whatever the budget.
    grown_payments: int = 10_000_000
    snapshot_minutes: float = 10.0
    bloat_jobs: int = 2_000_000
    # Where the grown database is kept for the next run; None makes it anew and deletes it.
    grown_data: str | None = None

    def expected_minutes(self, parts: "frozenset[str] | None" = None) -> float:
        """About how long these parts take on two cores; all by default."""
        sample = self.seconds + OVERHEAD_SECONDS_PER_SAMPLE
        seconds = {
            "tune": TUNE_SAMPLES * TUNE_SECONDS_PER_SAMPLE,
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
        return sum(spent for part, spent in seconds.items() if not parts or part in parts) / 60

    def _load_seconds(self) -> float:
        if self.grown_data and Path(self.grown_data).exists():
            return 0.0  # An earlier run has left it there.
        return self.grown_payments * LOAD_SECONDS_PER_PAYMENT

    def within(self, minutes: float, parts: "frozenset[str] | None" = None) -> "Effort":
        """Shortened until it fits, down to a fifth. Repeats and the grown database stay.

        Samples shrink first: how long a snapshot is held, and over how many jobs tables must not
        bloat, is part of what is claimed, and shrinks only where that alone does not do.
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


# Keeps every part working and proves no figure.
QUICK = Effort(
    repeats=1,
    seconds=0.5,
    latency_seconds=1.0,
    idle_seconds=1.0,
    grown_payments=20_000,
    snapshot_minutes=0.1,
    bloat_jobs=10_000,
)
