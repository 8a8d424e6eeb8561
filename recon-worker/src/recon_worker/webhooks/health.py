"""An endpoint's health: pause one that only fails, disable one that is gone or fails for days."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.audit_log import Operator, record_action
from payments_core.domain.webhooks import FAILING_DAYS_MAX
from recon_worker.webhooks.claims import Attempt

WORKER = Operator("recon-worker")
# An endpoint without a success is tried again after a tenth of the time for which it has failed.
PAUSE_FRACTION = 0.1
PAUSE_SECONDS_MAX = 60.0

# In the order of their ids, so that two workers' records cannot deadlock.
OBSERVE = f"""
WITH seen AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::boolean[], $3::float8[]) AS t (id, succeeded, wait)
), locked AS MATERIALIZED (
    SELECT id FROM webhook_endpoints WHERE id = ANY ($1::uuid[]) AND enabled_at IS NOT NULL
    ORDER BY id FOR NO KEY UPDATE
)
UPDATE webhook_endpoints AS e
SET failing_since = CASE WHEN NOT seen.succeeded THEN coalesce(e.failing_since, now()) END,
    paused_until = CASE
        WHEN seen.succeeded AND seen.wait = 0 THEN NULL
        ELSE now() + make_interval(secs => greatest(seen.wait, CASE WHEN seen.succeeded THEN 0
            ELSE least({PAUSE_SECONDS_MAX}, $4::float8
                 * extract(epoch FROM now() - coalesce(e.failing_since, now()))::float8) END))
    END
FROM seen
WHERE e.id = seen.id AND e.id = ANY (ARRAY(SELECT id FROM locked))
  AND (NOT seen.succeeded OR seen.wait > 0 OR num_nonnulls(e.failing_since, e.paused_until) > 0)
RETURNING e.id, e.failing_since <= now() - interval '{FAILING_DAYS_MAX} days' AS for_days"""

DISABLE = """
WITH disabled AS (
    UPDATE webhook_endpoints SET enabled_at = NULL, disabled_reason = $2
    WHERE id = $1 AND enabled_at IS NOT NULL
    RETURNING id, failing_since
)
INSERT INTO webhook_disablings (endpoint_id, reason, failing_since)
SELECT id, $2, failing_since FROM disabled"""


@dataclass(slots=True)
class _Seen:
    succeeded: bool = False
    gone: bool = False
    wait_seconds: float = 0.0


async def observe(tx: AsyncConnection, attempts: Iterable[Attempt]) -> list[tuple[UUID, str]]:
    """Update endpoints by their attempts; return those disabled, with the reason."""
    seen: dict[UUID, _Seen] = {}
    for one in attempts:
        endpoint = seen.setdefault(one.delivery.endpoint_id, _Seen())
        endpoint.succeeded |= one.outcome == "delivered"
        endpoint.gone |= one.gone
        endpoint.wait_seconds = max(endpoint.wait_seconds, one.retry_after_seconds)
    rows = await tx.exec_driver_sql(
        OBSERVE,
        (
            list(seen),
            [one.succeeded for one in seen.values()],
            [one.wait_seconds for one in seen.values()],
            PAUSE_FRACTION,
        ),
    )
    doomed = {row.id: "failing" for row in rows if row.for_days}
    doomed |= {endpoint_id: "gone" for endpoint_id, one in seen.items() if one.gone}
    return await _disable(tx, sorted(doomed.items()))


async def _disable(
    tx: AsyncConnection, doomed: Sequence[tuple[UUID, str]]
) -> list[tuple[UUID, str]]:
    disabled = []
    for endpoint_id, reason in doomed:
        if (await tx.exec_driver_sql(DISABLE, (endpoint_id, reason))).rowcount:
            subject = f"webhook {endpoint_id}"
            await record_action(tx, "disable_webhook", WORKER, reason, subject=subject)
            disabled.append((endpoint_id, reason))
    return disabled
