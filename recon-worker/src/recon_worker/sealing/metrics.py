"""What the worker counts of its sealing for Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

ENTRIES_SEALED = Counter("recon_worker_seal_entries", "Ledger entries sealed by this worker.")
ENTRIES_VERIFIED = Counter(
    "recon_worker_seal_verified_entries",
    "Sealed entries that this worker compared with their seals again.",
)
SEAL_SECONDS = Histogram(
    "recon_worker_seal_duration_seconds",
    "What one seal took, of up to 10,000 entries and as many results, none included.",
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
HEAD_SEQ = Gauge("recon_worker_seal_head_seq", "The number of the last seal.")
BACKLOG_ENTRIES = Gauge(
    "recon_worker_seal_backlog_entries", "Ledger entries not sealed yet, gaps in ids included."
)
BACKLOG_AGE_SECONDS = Gauge(
    "recon_worker_seal_backlog_age_seconds",
    "Age of the oldest entry or result that is not sealed; 0 when all are.",
)
CHAIN_HOLDS = Gauge(
    "recon_worker_seal_chain_holds",
    "0 from the moment that a row or a seal was found to be not as sealed, until cleared.",
)
VERIFIED_SEQ = Gauge(
    "recon_worker_seal_verified_seq",
    "How far the verification under way has come; 0 between two of them.",
)
PASS_COMPLETED = Gauge(
    "recon_worker_seal_verified_timestamp_seconds",
    "When all seals had last been verified again, in Unix time.",
)

CHAIN_HOLDS.set(1)  # No row is accused before the first look.
