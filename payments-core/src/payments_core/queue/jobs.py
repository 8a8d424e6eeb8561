"""The job queue in Postgres, without a broker: claim, complete, retry and hand back jobs.

    pending --claim--> processing --complete, in the work's own transaction--> completed
       ^                   |
       |                   +-- retry (backoff), hand_back (drain), lease expired --> pending
       +------ replay ---- failed, the dead letter <-- attempts used up

A claim marks its jobs with a fresh lease token and commits. Completing, retrying and handing
back require that token: the late work of a worker that was paused beyond its lease is rolled
back.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

JOBS_CHANNEL = "recon_jobs"  # A hint that there is work. Polling guarantees it.

BACKOFF_SECONDS_BASE = 1.0
BACKOFF_SECONDS_MAX = 300.0  # Recovery after an outage follows within five minutes.
LAST_ERROR_MAX_CHARS = 2000

# Part of the caller's statement, which names a source of (id, traceparent) rows.
ENQUEUE = "INSERT INTO recon_jobs (payment_id, traceparent) SELECT id, traceparent FROM {source}"
ENQUEUE_REVERSALS = ENQUEUE.replace("payment_id", "reversal_id")

# The ids pass through an array: for a join, the planner may choose to read whole tables, because
# it cannot know how few rows a batch has. FOR UPDATE is in its own CTE, because a LIMIT in a
# sub-select may be evaluated again and lock more rows than it says.
#
# $4 to $6 are a ClaimCursor. While a transaction holds a snapshot, an index keeps the entries of
# all jobs claimed since, and a claim that starts at the front passes them again each time.
CLAIM = """
WITH ready AS MATERIALIZED (
    SELECT id FROM recon_jobs
    WHERE status = 'pending' AND run_at <= now()
      AND (priority, run_at, id) > ($4::smallint, $5::timestamptz, $6::bigint)
    ORDER BY priority, run_at, id
    LIMIT {limit}
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE recon_jobs
    SET status = 'processing', attempts = attempts + 1, lease_token = $1, locked_by = $2,
        locked_at = now(), locked_until = now() + make_interval(secs => $3), updated_at = now()
    WHERE id = ANY (ARRAY(SELECT id FROM ready))
    RETURNING id, payment_id, reversal_id, attempts, max_attempts, traceparent, priority, run_at
)
SELECT claimed.id, payment_id, attempts, max_attempts, claimed.traceparent,
       amount, payments.status, payments.created_at, priority, run_at, reversal_id
FROM claimed JOIN payments ON payments.id = payment_id
WHERE payments.id = ANY (ARRAY(SELECT payment_id FROM claimed))
UNION ALL
SELECT claimed.id, reversals.payment_id, attempts, max_attempts, claimed.traceparent,
       amount, reversals.status, reversals.created_at, priority, run_at, reversal_id
FROM claimed JOIN reversals ON reversals.id = reversal_id
WHERE reversals.id = ANY (ARRAY(SELECT reversal_id FROM claimed WHERE reversal_id IS NOT NULL))
ORDER BY 1"""

# A CHECK guarantees that only a processing job has a lease. Adding the status to the condition
# would let the planner walk all leased jobs and compare each with every id of the batch.
_HELD = "id = ANY ($1::bigint[]) AND lease_token = $2"

COMPLETE = f"""
UPDATE recon_jobs
SET status = 'completed', lease_token = NULL, locked_until = NULL, last_error = NULL,
    updated_at = now()
WHERE {_HELD}"""

# Skips jobs that the work's own transaction has locked: no other worker can take them, and
# waiting for them would delay the renewal of other leases.
RENEW = f"""
WITH held AS MATERIALIZED (
    SELECT id FROM recon_jobs WHERE {_HELD} ORDER BY id FOR UPDATE SKIP LOCKED
)
UPDATE recon_jobs SET locked_until = now() + make_interval(secs => $3)
WHERE id = ANY (ARRAY(SELECT id FROM held))"""

_HANDED_BACK = """
UPDATE recon_jobs
SET status = 'pending', attempts = attempts - 1, lease_token = NULL, locked_until = NULL,
    locked_by = NULL, locked_at = NULL, updated_at = now()"""

HAND_BACK = f"{_HANDED_BACK} WHERE {_HELD}"

# Walks all leased jobs, which is acceptable once after an outage of the database.
HAND_BACK_LEASES = f"""{_HANDED_BACK}
WHERE status = 'processing' AND lease_token = ANY ($1::uuid[])"""

# The event of each job that a statement buried. The statement names the CTE of its updated jobs.
RECORD_DEATHS = """
    INSERT INTO job_deaths (job_id, payment_id, reversal_id, attempts)
    SELECT id, coalesce(dead.payment_id, (
               SELECT payment_id FROM reversals WHERE reversals.id = dead.reversal_id)),
           reversal_id, attempts
    FROM {updated} AS dead WHERE status = 'failed'"""

# Full jitter, so that jobs that failed together do not return together.
RETRY_OR_BURY = f"""
WITH updated AS (
    UPDATE recon_jobs
    SET status = CASE WHEN attempts < max_attempts THEN 'pending' ELSE 'failed' END,
        run_at = CASE WHEN attempts < max_attempts
                 THEN now() + make_interval(secs => $4) ELSE run_at END,
        lease_token = NULL, locked_until = NULL, last_error = $3, updated_at = now()
    WHERE {_HELD}
    RETURNING id, payment_id, reversal_id, attempts, status
), deaths AS ({RECORD_DEATHS.format(updated="updated")})
SELECT status FROM updated"""


class LeaseLost(Exception):
    """The lease expired and the job may have been claimed again: roll this attempt back."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to complete the jobs of one claim. Each renewal lasts `seconds`."""

    token: UUID
    worker_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A claimed job with the columns of its payment that the rules need.

    A reversal's job has the id of the reversed payment, and the reversal's other columns.
    """

    id: int
    payment_id: UUID
    attempts: int
    max_attempts: int
    traceparent: str | None
    amount: Decimal
    payment_status: str
    payment_created_at: datetime
    priority: int
    run_at: datetime
    reversal_id: UUID | None = None

    @property
    def cursor(self) -> "ClaimCursor":
        """The cursor behind which the next job follows."""
        return ClaimCursor(self.priority, self.run_at, self.id)


class ClaimCursor(NamedTuple):
    """A position in the order in which jobs are claimed."""

    priority: int
    run_at: datetime
    job_id: int


QUEUE_FRONT = ClaimCursor(-(2**15), datetime.min.replace(tzinfo=UTC), 0)  # Before every job.


def new_lease(worker_id: str, seconds: float) -> Lease:
    """Return a lease with a unique token."""
    return Lease(uuid4(), worker_id, seconds)


async def claim(
    connection: AsyncConnection, lease: Lease, limit: int, after: ClaimCursor = QUEUE_FRONT
) -> list[ClaimedJob]:
    """Take the first `limit` ready jobs behind a cursor; commits by itself in autocommit mode.

    Skips jobs that another worker is claiming.
    """
    result = await connection.exec_driver_sql(
        # A literal limit: as a parameter it would be planned as a tenth of the table.
        CLAIM.format(limit=int(limit)),
        (lease.token, lease.worker_id, lease.seconds, *after),
    )
    return [ClaimedJob(*tuple(row)) for row in result.all()]


async def complete(tx: AsyncConnection, lease: Lease, job_ids: Sequence[int]) -> None:
    """Finish jobs in the transaction of their work. Raises LeaseLost: roll both back."""
    if await _fenced(tx, COMPLETE, job_ids, lease) != len(job_ids):
        raise LeaseLost


async def held_ids(
    connection: AsyncConnection, lease: Lease, job_ids: Sequence[int]
) -> frozenset[int]:
    """Return the ids of the jobs that the lease still holds."""
    result = await connection.exec_driver_sql(
        f"SELECT id FROM recon_jobs WHERE {_HELD}", (list(job_ids), lease.token)
    )
    return frozenset(row[0] for row in result)


async def renew(connection: AsyncConnection, lease: Lease, job_ids: Sequence[int]) -> int:
    """Renew the lease on jobs that are held and not being completed; return their number."""
    return await _fenced(connection, RENEW, job_ids, lease, lease.seconds)


async def hand_back(connection: AsyncConnection, lease: Lease, job_ids: Sequence[int]) -> int:
    """Return unstarted jobs to the queue at once, without using up an attempt."""
    return await _fenced(connection, HAND_BACK, job_ids, lease)


async def hand_back_leases(connection: AsyncConnection, leases: Collection[Lease]) -> int:
    """Return all jobs of these leases to the queue; return their number.

    For claims whose answer was lost: whether they committed, and with which jobs, is unknown.
    """
    tokens = [lease.token for lease in leases]
    result = await connection.exec_driver_sql(HAND_BACK_LEASES, (tokens,))
    return result.rowcount


async def retry_or_bury(
    connection: AsyncConnection, lease: Lease, job: ClaimedJob, error: str
) -> str | None:
    """Return a failed job to the queue with a backoff, or make it a dead letter.

    Returns its new status, 'pending' or 'failed', or None if the lease was lost meanwhile.
    """
    # An error may quote any text; Postgres stores neither NUL nor half a surrogate pair.
    storable = error.replace("\0", "").encode(errors="replace").decode()
    reason = storable[:LAST_ERROR_MAX_CHARS] or "failed without a message"
    delay = backoff_seconds(job.attempts, BACKOFF_SECONDS_BASE, BACKOFF_SECONDS_MAX)
    result = await connection.exec_driver_sql(RETRY_OR_BURY, ([job.id], lease.token, reason, delay))
    status: str | None = result.scalar()
    return status


def backoff_seconds(attempts: int, base: float, most: float) -> float:
    """Return an exponential backoff with full jitter, from 0 to min(most, base x 2^(attempts-1)).

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    exponent = min(max(attempts - 1, 0), 30)  # 2^30 s is far beyond any cap; more overflows.
    return random.random() * min(most, base * 2.0**exponent)  # nosec B311 # noqa: S311 - no secret


async def _fenced(
    connection: AsyncConnection, statement: str, job_ids: Sequence[int], lease: Lease, *more: Any
) -> int:
    result = await connection.exec_driver_sql(statement, (list(job_ids), lease.token, *more))
    return result.rowcount
