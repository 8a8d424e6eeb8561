"""The Prometheus metrics of webhooks."""

from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db import event_log
from payments_core.db.engine import single_statement
from payments_core.domain.webhooks import DISABLED_REASONS

COUNT_CAP = 10_000  # A larger count informs no one and costs the database.
ATTEMPTS = Counter(
    "recon_webhook_attempts",
    "Attempts of this worker, by outcome: delivered, retried, failed (given up) or lease_lost.",
    ["outcome"],
)
ATTEMPT_SECONDS = Histogram(
    "recon_webhook_attempt_duration_seconds",
    "Duration of an attempt, from the look-up of the name to the end of the answer.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
IN_FLIGHT = Gauge("recon_webhook_attempts_in_flight", "Attempts of this worker under way.")
ENDPOINTS_DISABLED = Counter(
    "recon_webhook_endpoints_disabled",
    "Endpoints that this worker disabled, by reason: gone (410) or failing (for five days).",
    ["reason"],
)
FANNED_OUT_AGE_SECONDS = Gauge(
    "recon_webhook_fan_out_lag_seconds",
    "Age of the oldest event of which no deliveries exist yet.",
)
OVERDUE_SECONDS = Gauge(
    "recon_webhook_overdue_seconds",
    "Time for which the oldest due delivery waits for its attempt, of endpoints that work.",
)
PENDING = Gauge(
    "recon_webhook_deliveries_pending", f"Deliveries that are pending, up to {COUNT_CAP}."
)
ENDPOINTS = Gauge(
    "recon_webhook_endpoints", "Endpoints, by state: working, failing or disabled.", ["state"]
)
STATES = ("working", "failing", "disabled")
for _outcome in ("delivered", "retried", "failed", "lease_lost"):
    ATTEMPTS.labels(_outcome)
for _reason in DISABLED_REASONS[1:]:
    ENDPOINTS_DISABLED.labels(_reason)

_NEXT_EVENTS = ", ".join(
    f"(SELECT created_at FROM {table} WHERE id > (SELECT position FROM webhook_cursor)"
    " ORDER BY id LIMIT 1)"
    for table in event_log.TABLES
)
# A look-up for each endpoint. One that fails or asked for a pause waits through no fault of ours.
STATE = text(f"""
SELECT extract(epoch FROM now() - least({_NEXT_EVENTS}))::float8 AS lag,
       max(extract(epoch FROM now() - oldest.next_attempt_at)::float8)
           FILTER (WHERE failing_since IS NULL AND paused_until IS NULL) AS overdue,
       coalesce(sum(waiting.count), 0)::bigint AS pending,
       count(*) FILTER (WHERE enabled_at IS NOT NULL AND failing_since IS NULL) AS working,
       count(*) FILTER (WHERE enabled_at IS NOT NULL AND failing_since IS NOT NULL) AS failing,
       count(*) FILTER (WHERE enabled_at IS NULL) AS disabled
FROM webhook_endpoints AS e
LEFT JOIN LATERAL (
    SELECT next_attempt_at FROM webhook_deliveries
    WHERE endpoint_id = e.id AND status = 'pending' AND next_attempt_at <= now()
      AND e.enabled_at IS NOT NULL
    ORDER BY next_attempt_at LIMIT 1) AS oldest ON true
LEFT JOIN LATERAL (
    SELECT count(*) FROM (
        SELECT FROM webhook_deliveries WHERE endpoint_id = e.id AND status = 'pending'
          AND e.enabled_at IS NOT NULL LIMIT {COUNT_CAP}) AS capped) AS waiting ON true
WHERE e.deleted_at IS NULL""")


async def observe(engine: AsyncEngine) -> None:
    """Set the gauges."""
    async with single_statement(engine) as connection:
        row = (await connection.execute(STATE)).one()
    FANNED_OUT_AGE_SECONDS.set(max(0.0, row.lag or 0.0))
    OVERDUE_SECONDS.set(max(0.0, row.overdue or 0.0))
    PENDING.set(min(row.pending, COUNT_CAP))
    for state in STATES:
        ENDPOINTS.labels(state).set(getattr(row, state))
