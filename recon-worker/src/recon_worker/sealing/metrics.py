"""The sealer's Prometheus metrics."""

from prometheus_client import Counter, Gauge, Histogram

ENTRIES_SEALED = Counter("recon_worker_seal_entries", "Ledger entries sealed by this worker.")
ENTRIES_VERIFIED = Counter(
    "recon_worker_seal_verified_entries",
    "Sealed entries that this worker verified again.",
)
SEAL_SECONDS = Histogram(
    "recon_worker_seal_duration_seconds",
    "Duration of an attempt to seal, including attempts that find no row.",
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
HEAD_SEQ = Gauge("recon_worker_seal_head_seq", "Number of the last seal.")
CHAIN_HOLDS = Gauge(
    "recon_worker_seal_chain_holds",
    "0 from the first difference between rows and seals until an audit clears it; otherwise 1.",
)
VERIFIED_SEQ = Gauge(
    "recon_worker_seal_verified_seq",
    "Last seal that the current verification pass verified; 0 between passes.",
)
PASS_COMPLETED = Gauge(
    "recon_worker_seal_verified_timestamp_seconds",
    "End of the last complete verification pass, in Unix time.",
)

CHAIN_HOLDS.set(1)  # Until the first round.
