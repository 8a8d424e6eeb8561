"""The worker's Prometheus metrics."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import time

from prometheus_client import Counter, Gauge, Histogram

from payments_core.domain.statuses import PENDING, RESULT_STATUSES
from payments_core.observability.metrics import BatchHistogram
from payments_core.observability.trace_context import is_sampled, trace_id_of
from payments_core.queue.jobs import ClaimedJob
from recon_worker.reconciliation.reconcile import BatchResult
from recon_worker.reconciliation.rules import Outcome

JOBS_CLAIMED = Counter("recon_jobs_claimed", "Jobs claimed by this worker.")
JOBS_HELD = Gauge("recon_jobs_held", "Jobs on which this worker holds a lease.")
JOBS_FINISHED = Counter(
    "recon_jobs_finished",
    "Ended attempts, by end: completed, retried, dead, lease_lost or handed_back.",
    ["end"],
)
PAYMENTS_RECONCILED = Counter(
    "recon_payments_reconciled", "Settled payments, by reconciliation result.", ["outcome"]
)
REVERSALS_POSTED = Counter("recon_reversals_posted", "Posted reversals.")
LEASES_EXPIRED = Counter(
    "recon_leases_expired", "Jobs freed from workers that stopped renewing their lease.", ["end"]
)
BATCH_JOBS = Histogram(
    "recon_batch_jobs",
    "Jobs in a claimed batch.",
    buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2000, 5000, 10000),
)
BATCH_SECONDS = Histogram(
    "recon_batch_duration_seconds",
    "Time from a batch's claim to its commit.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
CLAIM_SECONDS = Histogram(
    "recon_claim_duration_seconds",
    "Duration of a claim, including claims that find no job.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
# The objective on freshness is 99.9 % within 10 s, so a bucket ends exactly there.
SETTLE_SECONDS = BatchHistogram(
    "payments_settle_duration_seconds",
    "Time from a payment's creation to its settlement, unless another open status delayed it.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
INVARIANT_HOLDS = Gauge(
    "recon_ledger_invariant_holds",
    "1 while the last audit that this worker saw found no violation.",
    ["invariant"],
)

ENDS = ("completed", "retried", "dead", "lease_lost", "handed_back")
# Created at start, so that the first dead letter is an increase and not a new series.
for _end in ENDS:
    JOBS_FINISHED.labels(_end)
for _outcome in RESULT_STATUSES:
    PAYMENTS_RECONCILED.labels(_outcome)
for _end in ("claimable", "dead"):
    LEASES_EXPIRED.labels(_end)


@contextmanager
def batch(jobs: int) -> Iterator[None]:
    """Observe one claimed batch's size and duration."""
    JOBS_CLAIMED.inc(jobs)
    BATCH_JOBS.observe(jobs)
    JOBS_HELD.inc(jobs)
    try:
        with BATCH_SECONDS.time():
            yield
    finally:
        JOBS_HELD.dec(jobs)


def count(result: BatchResult) -> None:
    """Count the ends of a batch's attempts, and observe how long its payments waited."""
    numbers = (
        len(result.settled),
        result.retried,
        len(result.dead),
        result.lost,
        result.handed_back,
    )
    for end, number in zip(ENDS, numbers, strict=True):
        if number:
            JOBS_FINISHED.labels(end).inc(number)
    outcomes: dict[str, int] = {}
    payments = result.settled_payments()
    REVERSALS_POSTED.inc(len(result.settled) - len(payments))
    for _, outcome in payments:
        outcomes[outcome.result_status] = outcomes.get(outcome.result_status, 0) + 1
    for result_status, number in outcomes.items():
        PAYMENTS_RECONCILED.labels(result_status).inc(number)
    _observe_settled(payments)


def _observe_settled(settled: Sequence[tuple[ClaimedJob, Outcome]]) -> None:
    now = time()
    # In any other open status a payment waits on purpose, which is no delay of the system.
    settled = [(job, outcome) for job, outcome in settled if job.payment_status == PENDING]
    # Clocks of two machines may differ; a payment never settles before its creation.
    seconds = [max(0.0, now - job.payment_created_at.timestamp()) for job, _ in settled]
    SETTLE_SECONDS.observe(seconds)
    for waited, (job, _) in zip(seconds, settled, strict=True):
        if job.traceparent is not None and is_sampled(job.traceparent):
            SETTLE_SECONDS.show_example(waited, trace_id_of(job.traceparent))
            return  # One exemplar for each batch is enough.


def rescued(freed: int, dead: int) -> None:
    """Count the jobs freed from workers that stopped renewing."""
    if freed:
        LEASES_EXPIRED.labels("claimable").inc(freed)
    if dead:
        LEASES_EXPIRED.labels("dead").inc(dead)
