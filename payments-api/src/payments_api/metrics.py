"""Prometheus metrics of the API, besides those of requests and connections."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import Counter, Gauge, Histogram

from payments_core.http.problems import Problem

CREATED = Counter("payments_created", "Payments created.")
REPLAYED = Counter("payments_replayed", "Answers repeated for a known idempotency key.")
REJECTED = Counter(
    "payments_rejected", "Creations of payments rejected, by problem code.", ["reason"]
)
REVERSALS_CREATED = Counter("reversals_created", "Reversals created.")
REVERSALS_REPLAYED = Counter(
    "reversals_replayed", "Answers repeated for a known idempotency key of a reversal."
)
REVERSALS_REJECTED = Counter(
    "reversals_rejected", "Creations of reversals rejected, by problem code.", ["reason"]
)
ADJUSTMENTS_DECIDED = Counter(
    "adjustments_decided", "Adjustments decided over HTTP: approved or rejected.", ["decision"]
)
for _decision in ("approved", "rejected"):
    ADJUSTMENTS_DECIDED.labels(_decision)
AUTH_REFUSALS = Counter(
    "payments_api_auth_refusals",
    "Requests refused for their API key: missing, malformed, unknown, revoked, expired, scope;"
    " unavailable if the key could not be verified.",
    ["reason"],
)
# From zero, so that a rate includes the first refusal.
for _reason in ("missing", "malformed", "unknown", "revoked", "expired", "scope", "unavailable"):
    AUTH_REFUSALS.labels(_reason)
STATEMENT_PAYMENTS = Histogram(
    "payments_api_statement_payments",
    "Payments that shared one statement.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000),
)
STATEMENT_SECONDS = Histogram(
    "payments_api_statement_duration_seconds",
    "Duration of a statement that stores payments.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
WAITING = Gauge("payments_api_waiting_payments", "Payments that wait for the next statement.")
EVENT_READERS = Gauge("payments_api_event_readers", "Open event streams.")

ADMITTED_MAX = Gauge(
    "payments_api_admitted_requests_max",
    "Requests admitted at once, adjusted by their latency.",
    ["kind"],
)


def count_created(payments: int, *, replayed: int) -> None:
    """Count payments that were created, and those among them that were replayed."""
    if replayed:
        REPLAYED.inc(replayed)
    if payments > replayed:
        CREATED.inc(payments - replayed)


def count_rejected(problem: Problem) -> None:
    """Count a payment that was rejected; problem codes are a closed set."""
    REJECTED.labels(problem.code).inc()


@contextmanager
def rejections_counted(rejected: Counter = REJECTED) -> Iterator[None]:
    """Count the Problem that ends the block."""
    try:
        yield
    except Problem as problem:
        rejected.labels(problem.code).inc()
        raise


@contextmanager
def statement_measured(payments: int) -> Iterator[None]:
    """Observe one statement that stores this many payments, failed and timed-out ones too."""
    STATEMENT_PAYMENTS.observe(payments)
    started = perf_counter()
    try:
        yield
    finally:
        STATEMENT_SECONDS.observe(perf_counter() - started)
