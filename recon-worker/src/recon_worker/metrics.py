"""What the worker counts for Prometheus."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

from payments_core.queue import ClaimedJob
from recon_worker.reconcile_batch import Tally

JOBS_CLAIMED = Counter("recon_jobs_claimed", "Jobs claimed by this worker.")
JOBS_FINISHED = Counter(
    "recon_jobs_finished",
    "Attempts that ended, by how: completed, retried, dead, lease_lost or handed_back.",
    ["end"],
)
PAYMENTS_RECONCILED = Counter(
    "recon_payments_reconciled", "Payments settled, by the result they got.", ["outcome"]
)
LEASES_EXPIRED = Counter(
    "recon_leases_expired", "Jobs freed from a worker that stopped renewing.", ["end"]
)
BATCH_JOBS = Histogram(
    "recon_batch_jobs", "Jobs in a claimed batch.", buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500)
)
BATCH_SECONDS = Histogram(
    "recon_batch_duration_seconds",
    "From a batch's claim to its commit.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
INVARIANT_HOLDS = Gauge(
    "recon_ledger_invariant_holds", "1 when the auditor found no offending row.", ["invariant"]
)
AUDIT_AGE_SECONDS = Gauge("recon_audit_age_seconds", "Since the last audit finished.")


@contextmanager
def batch(jobs: int) -> Iterator[None]:
    """Observe one claimed batch's size and duration."""
    JOBS_CLAIMED.inc(jobs)
    BATCH_JOBS.observe(jobs)
    with BATCH_SECONDS.time():
        yield


def count(jobs: Sequence[ClaimedJob], tally: Tally) -> None:
    """Count how the attempts of a batch ended."""
    ends = {
        "completed": len(tally.settled),
        "retried": tally.retried,
        "dead": tally.dead,
        "lease_lost": tally.lost,
        "handed_back": tally.handed_back,
    }
    for end, number in ends.items():
        if number:
            JOBS_FINISHED.labels(end).inc(number)
    outcomes: dict[str, int] = {}
    for _, outcome in tally.settled:
        outcomes[outcome.result_status] = outcomes.get(outcome.result_status, 0) + 1
    for result_status, number in outcomes.items():
        PAYMENTS_RECONCILED.labels(result_status).inc(number)


def rescued(freed: int, dead: int) -> None:
    """Count the jobs taken from workers that stopped renewing."""
    if freed:
        LEASES_EXPIRED.labels("claimable").inc(freed)
    if dead:
        LEASES_EXPIRED.labels("dead").inc(dead)
