"""What keeps the queue going by itself: expired leases, old jobs, and a look from outside."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.queue.jobs import BACKOFF_SECONDS_BASE, BACKOFF_SECONDS_MAX

RESCUE_JOBS_MAX = 5_000  # For one sweep; the next follows within seconds.
PRUNE_JOBS_MAX = 5_000
COUNT_CAP = 10_000  # Nobody reads more digits, and counting further costs the database.

# A worker that died counts as an attempt. The jitter also takes its batch apart, so that one
# job which kills its worker every time does not take 499 others with it to the dead letters.
RESCUE = f"""
WITH expired AS MATERIALIZED (
    SELECT id FROM recon_jobs
    WHERE status = 'processing' AND locked_until < now()
    ORDER BY locked_until
    LIMIT {RESCUE_JOBS_MAX}
    FOR UPDATE SKIP LOCKED
)
UPDATE recon_jobs
SET status = CASE WHEN attempts < max_attempts THEN 'pending' ELSE 'failed' END,
    run_at = now() + make_interval(secs => random() * least(
        {BACKOFF_SECONDS_MAX}, {BACKOFF_SECONDS_BASE} * power(2, least(attempts - 1, 30)))),
    last_error = 'lease of worker ' || locked_by || ' expired',
    lease_token = NULL, locked_until = NULL, updated_at = now()
WHERE id = ANY (ARRAY(SELECT id FROM expired))
RETURNING status"""

# Ids follow the time of creation, and no job finished before it was created: halving finds where
# the jobs end that can be old enough, in some thirty look-ups. So younger jobs cost nothing,
# however many there are, and older ones that finished only now, such as replayed dead letters,
# are passed over.
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

# Each count reads one partial index, and no more of it than the cap.
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
    """Free the jobs whose worker stopped renewing: (claimable again, dead)."""
    result = await connection.exec_driver_sql(RESCUE)
    statuses = [row[0] for row in result]
    return statuses.count("pending"), statuses.count("failed")


async def prune_finished(connection: AsyncConnection, retention_seconds: float) -> int:
    """Delete some of the jobs that finished longer ago; dead letters are never pruned."""
    result = await connection.exec_driver_sql(PRUNE, (retention_seconds,))
    return result.rowcount


async def read_depth(connection: AsyncConnection) -> QueueDepth:
    """The queue as it stands, for people, probes and scalers; cheap at any size."""
    row = (await connection.exec_driver_sql(DEPTH)).one()
    return QueueDepth(*tuple(row))
