"""Worker throughput: the dashboard to open first."""

from as_code.panels import GREEN, RED, YELLOW, Query, board, figure, lines
from as_code.queries import BURN_ABOUT, burn, mean, percentiles, quantile, rate

WORKER = board(
    "worker-throughput",
    "Worker throughput",
    "Rate of reconciliation, by outcome and worker, and the jobs that wait.",
    (
        (
            "Now",
            (
                figure(
                    "Reconciled per second",
                    "Payments reconciled by all workers.",
                    "ops",
                    Query(rate("recon_payments_reconciled_total"), "payments/s"),
                ),
                figure(
                    "Jobs waiting",
                    "Pending jobs, including those that wait for a retry; counted up to 10,000.",
                    "short",
                    Query('max(payments_queue_jobs{status="pending"})', "pending"),
                    ((None, GREEN), (5000, YELLOW), (10000, RED)),
                ),
                figure(
                    "Oldest waiting job",
                    "Age of the oldest ready job. An alert pages above a minute.",
                    "s",
                    Query("max(payments_queue_oldest_ready_age_seconds)", "age"),
                    ((None, GREEN), (10, YELLOW), (60, RED)),
                ),
                figure(
                    "Settled within, p99",
                    "From a payment's creation to its settlement. Objective: 10 s.",
                    "s",
                    Query(quantile(0.99, "payments_settle_duration_seconds_bucket"), "p99"),
                    ((None, GREEN), (5, YELLOW), (10, RED)),
                ),
                figure(
                    "Dead letters",
                    "Jobs without attempts left, which wait for an operator.",
                    "short",
                    Query('max(payments_queue_jobs{status="failed"})', "dead"),
                    ((None, GREEN), (1, RED)),
                ),
                figure(
                    "Workers alive",
                    "Workers with a heartbeat in the last 20 s.",
                    "short",
                    Query("max(payments_workers_alive)", "workers"),
                    ((None, RED), (1, GREEN)),
                ),
            ),
        ),
        (
            "Throughput",
            (
                lines(
                    "Reconciled per second, by outcome",
                    "failed: payments that the rules reject, not failed jobs.",
                    "ops",
                    Query(rate("recon_payments_reconciled_total", "outcome"), "{{outcome}}"),
                    stacked=True,
                    width=8,
                ),
                lines(
                    "Reconciled per second, by worker",
                    "The first worker to claim gets the jobs: similar lines are normal.",
                    "ops",
                    Query(rate("recon_payments_reconciled_total", "instance"), "{{instance}}"),
                    stacked=True,
                    width=8,
                ),
                lines(
                    "Reversals posted per second",
                    "A reversal fails only if an operator discards its dead letter.",
                    "ops",
                    Query(rate("recon_reversals_posted_total"), "posted"),
                    width=8,
                ),
            ),
        ),
        (
            "Queue and lag",
            (
                lines(
                    "Jobs in the queue",
                    "Pending and processing, counted up to 10,000. A rising line means that more "
                    "payments arrive than the workers settle.",
                    "short",
                    Query(
                        'max by (status) (payments_queue_jobs{status=~"pending|processing"})',
                        "{{status}}",
                    ),
                    width=8,
                ),
                lines(
                    "Oldest waiting job",
                    "The first sign of any problem.",
                    "s",
                    Query("max(payments_queue_oldest_ready_age_seconds)", "oldest"),
                    width=8,
                ),
                lines(
                    "From creation to settlement",
                    "The client's waiting time. The dots are payments: each leads to its trace.",
                    "s",
                    *percentiles("payments_settle_duration_seconds_bucket", exemplars=True),
                    width=8,
                ),
            ),
        ),
        (
            "Webhooks",
            (
                lines(
                    "Attempts per second, by outcome",
                    "retried: the receiver gave no 2xx; failed: given up after three days.",
                    "ops",
                    Query(rate("recon_webhook_attempts_total", "outcome"), "{{outcome}}"),
                    stacked=True,
                    width=6,
                ),
                lines(
                    "Waiting through no fault of a receiver",
                    "Events without deliveries, and due deliveries to endpoints that work.",
                    "s",
                    Query("max(recon_webhook_fan_out_lag_seconds)", "fan-out"),
                    Query("max(recon_webhook_overdue_seconds)", "attempt"),
                    width=6,
                ),
                lines(
                    "Time for an attempt",
                    "From the look-up of the name to the end of the answer; 10 s at most.",
                    "s",
                    *percentiles("recon_webhook_attempt_duration_seconds_bucket"),
                    width=6,
                ),
                lines(
                    "Endpoints, and pending deliveries",
                    "A failing endpoint is disabled after five days without a success.",
                    "short",
                    Query("max by (state) (recon_webhook_endpoints)", "{{state}}"),
                    Query("max(recon_webhook_deliveries_pending)", "pending deliveries"),
                    width=6,
                ),
            ),
        ),
        (
            "Batches",
            (
                lines(
                    "Jobs in a batch",
                    "Near RECON_WORKER_BATCH_SIZE (2,000) the workers are fully busy.",
                    "short",
                    Query(mean("recon_batch_jobs"), "mean"),
                    Query(quantile(0.95, "recon_batch_jobs_bucket"), "p95"),
                    width=8,
                ),
                lines(
                    "Time for a batch",
                    "From its claim to its commit.",
                    "s",
                    *percentiles("recon_batch_duration_seconds_bucket"),
                    width=8,
                ),
                lines(
                    "Time for a claim",
                    "Grows with the dead rows in recon_jobs: see the Postgres dashboard.",
                    "s",
                    *percentiles("recon_claim_duration_seconds_bucket"),
                    width=8,
                ),
            ),
        ),
        (
            "Problems",
            (
                lines(
                    "Attempts that did not settle, per second",
                    "retried: run again automatically. dead: wait for an operator. lease_lost: "
                    "rolled back because another worker had taken over.",
                    "ops",
                    Query(rate('recon_jobs_finished_total{end!="completed"}', "end"), "{{end}}"),
                    width=8,
                ),
                lines(
                    "Jobs taken from silent workers, per second",
                    "A worker died or stalled for longer than its lease.",
                    "ops",
                    Query(rate("recon_leases_expired_total", "end"), "{{end}}"),
                    width=8,
                ),
                lines(
                    "Error budget burn: freshness",
                    BURN_ABOUT,
                    "none",
                    burn("freshness"),
                    width=8,
                ),
            ),
        ),
    ),
)
