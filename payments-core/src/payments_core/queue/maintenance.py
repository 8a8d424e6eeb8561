"""Queue maintenance: free expired leases, prune old jobs, read the queue's depth."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.domain.events import EVENTS_KEPT_DAYS
from payments_core.queue.jobs import (
    BACKOFF_SECONDS_BASE,
    BACKOFF_SECONDS_MAX,
    RECORD_DEATHS,
)

RESCUE_JOBS_MAX = 5_000  # For one sweep; the next follows within seconds.
PRUNE_JOBS_MAX = 5_000
COUNT_CAP = 10_000  # A larger count informs no one and costs the database.

# A worker's death counts as an attempt. The jitter also separates its batch, so that one job
# that kills its worker each time does not turn the rest of its batch into dead letters.
RESCUE = f"""
WITH expired AS MATERIALIZED (
    SELECT id FROM recon_jobs
    WHERE status = 'processing' AND locked_until < now()
    ORDER BY locked_until
    LIMIT {RESCUE_JOBS_MAX}
    FOR UPDATE SKIP LOCKED
), updated AS (
    UPDATE recon_jobs
    SET status = CASE WHEN attempts < max_attempts THEN 'pending' ELSE 'failed' END,
        run_at = now() + make_interval(secs => random() * least(
            {BACKOFF_SECONDS_MAX}, {BACKOFF_SECONDS_BASE} * power(2, least(attempts - 1, 30)))),
        last_error = 'lease of worker ' || locked_by || ' expired',
        lease_token = NULL, locked_until = NULL, updated_at = now()
    WHERE id = ANY (ARRAY(SELECT id FROM expired))
    RETURNING id, payment_id, reversal_id, attempts, status
), deaths AS ({RECORD_DEATHS.format(updated="updated")})
SELECT status FROM updated"""

# Ids follow the time of creation, and a job finishes after its creation: bisection finds the last
# job that can be old enough in about thirty look-ups. Younger jobs therefore cost nothing, and
# older ones that finished recently, such as replayed dead letters, are skipped.
PRUNE = f"""
WITH RECURSIVE halved (lo, hi) AS (
    SELECT coalesce(min(id), 1) - 1, coalesce(max(id), 0) FROM recon_jobs
    UNION ALL
    SELECT CASE WHEN next.old THEN next.id ELSE lo END,
           CASE WHEN next.old THEN hi ELSE (lo + hi + 1) / 2 - 1 END
    FROM halved CROSS JOIN LATERAL (
        SELECT id, created_at < now() - make_interval(secs => $1) AS old FROM recon_jobs
        WHERE id >= (lo + hi + 1) / 2 ORDER BY id LIMIT 1) AS next
    WHERE lo < hi
), old AS MATERIALIZED (
    SELECT id FROM recon_jobs
    WHERE status = 'completed' AND updated_at < now() - make_interval(secs => $1)
      AND id <= (SELECT max(lo) FROM halved)
    ORDER BY id
    LIMIT {PRUNE_JOBS_MAX}
    FOR UPDATE SKIP LOCKED
)
DELETE FROM recon_jobs WHERE id = ANY (ARRAY(SELECT id FROM old))"""

PRUNE_DEATHS = f"""
DELETE FROM job_deaths WHERE id = ANY (ARRAY(
    SELECT id FROM job_deaths WHERE created_at < now() - interval '{EVENTS_KEPT_DAYS} days'
    ORDER BY id LIMIT {PRUNE_JOBS_MAX}))"""

# Each count reads one partial index, up to the cap.
DEPTH = f"""
SELECT
    (SELECT count(*) FROM (SELECT FROM recon_jobs WHERE status = 'pending'
                           LIMIT {COUNT_CAP}) AS pending) AS pending,
    (SELECT count(*) FROM (SELECT FROM recon_jobs WHERE status = 'processing'
                           LIMIT {COUNT_CAP}) AS processing) AS processing,
    (SELECT count(*) FROM (SELECT FROM recon_jobs WHERE status = 'failed'
                           LIMIT {COUNT_CAP}) AS failed) AS failed,
    (SELECT extract(epoch FROM now() - min(run_at))::float8 FROM (
        SELECT run_at FROM recon_jobs WHERE status = 'pending' AND run_at <= now()
        ORDER BY priority, run_at, id LIMIT 1) AS oldest) AS oldest_ready_age_seconds"""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Jobs by status, each counted up to COUNT_CAP; the age is of the oldest ready job."""

    pending: int
    processing: int
    failed: int
    oldest_ready_age_seconds: float | None


async def rescue_expired(connection: AsyncConnection) -> tuple[int, int]:
    """Free the jobs of expired leases; return the numbers of claimable and of dead ones."""
    result = await connection.exec_driver_sql(RESCUE)
    statuses = [row[0] for row in result]
    return statuses.count("pending"), statuses.count("failed")


async def prune_finished(connection: AsyncConnection, retention_seconds: float) -> int:
    """Delete some jobs that finished before the retention; return their number.

    Dead letters are never pruned.
    """
    result = await connection.exec_driver_sql(PRUNE, (retention_seconds,))
    return result.rowcount


async def prune_deaths(connection: AsyncConnection) -> int:
    """Delete some events of jobs that died EVENTS_KEPT_DAYS ago; return their number."""
    return (await connection.exec_driver_sql(PRUNE_DEATHS)).rowcount


async def read_depth(connection: AsyncConnection) -> QueueDepth:
    """Return the queue's depth, for people, probes and scalers; cheap at any size."""
    row = (await connection.exec_driver_sql(DEPTH)).one()
    return QueueDepth(*tuple(row))
