"""The Prometheus metrics of imports, runs and postings of adjustments by this worker."""

from prometheus_client import Counter, Histogram

FILES_IMPORTED = Counter(
    "recon_statement_files_imported",
    "Statement files that this worker imported, by outcome: accepted or quarantined.",
    ["outcome"],
)
RUNS = Counter(
    "recon_matching_runs",
    "Runs of the matching by this worker, by end: changed, unchanged or failed.",
    ["end"],
)
RUN_SECONDS = Histogram(
    "recon_matching_run_duration_seconds",
    "Duration of a run of the matching, including runs that found nothing new.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900),
)
ADJUSTMENTS_SETTLED = Counter(
    "recon_adjustments_settled",
    "Approved adjustments that this worker settled, by status: posted, or failed if an item was"
    " taken meanwhile.",
    ["status"],
)
for _status in ("posted", "failed"):
    ADJUSTMENTS_SETTLED.labels(_status)
for _outcome in ("accepted", "quarantined"):
    FILES_IMPORTED.labels(_outcome)
for _end in ("changed", "unchanged", "failed"):
    RUNS.labels(_end)
