"""The job queue: Postgres itself, no broker. A job's whole life but its upkeep is here.

    pending --claim--> processing --complete, in the work's own transaction--> completed
       ^                   |
       |                   +-- retry (backoff), hand_back (drain), lease expired --> pending
       +------ replay ---- failed, the dead letter <-- attempts used up

A claim marks its jobs with a fresh lease token and commits. Whoever completes, retries or
hands back must still hold that token: a worker that was paused beyond its lease finds that
its work is rolled back, however late it comes.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

JOBS_CHANNEL = "recon_jobs"  # A hint that there is work; the poll behind it is the promise.

BACKOFF_SECONDS_BASE = 1.0
BACKOFF_SECONDS_MAX = 300.0  # Recovery after an outage follows within five minutes.
LAST_ERROR_MAX_CHARS = 2000

# Joins the caller's statement: the caller names a source of (payment_id, traceparent) rows.
ENQUEUE = "INSERT INTO recon_jobs (payment_id, traceparent) SELECT id, traceparent FROM {source}"

# The ids go through an array: against a join the planner may choose to read whole tables,
# since it cannot know how few rows a batch has. FOR UPDATE sits in a CTE of its own, because
# a LIMIT in a sub-select may be evaluated again and lock more rows than it says.
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
    RETURNING id, payment_id, attempts, max_attempts, traceparent, priority, run_at
)
SELECT claimed.id, payment_id, attempts, max_attempts, claimed.traceparent,
       amount, payments.status, payments.created_at, priority, run_at
FROM claimed JOIN payments ON payments.id = payment_id
WHERE payments.id = ANY (ARRAY(SELECT payment_id FROM claimed))
ORDER BY claimed.id"""

# Only a job that is processing has a lease (a CHECK says so). To name the status as well would
# let the planner walk all leased jobs, and compare each with every id of the batch.
_HELD = "id = ANY ($1::bigint[]) AND lease_token = $2"

COMPLETE = f"""
UPDATE recon_jobs
SET status = 'completed', lease_token = NULL, locked_until = NULL, last_error = NULL,
    updated_at = now()
WHERE {_HELD}"""

# Jobs that the work's own transaction has locked are skipped: nobody can take those, and
# waiting for them would keep the renewals of other leases waiting.
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

# Walks all leased jobs, which a worker that has just found its database again can afford.
HAND_BACK_LEASES = f"""{_HANDED_BACK}
WHERE status = 'processing' AND lease_token = ANY ($1::uuid[])"""

# Full jitter, so that what failed together does not come back together.
RETRY_OR_BURY = f"""
UPDATE recon_jobs
SET status = CASE WHEN attempts < max_attempts THEN 'pending' ELSE 'failed' END,
    run_at = CASE WHEN attempts < max_attempts
             THEN now() + make_interval(secs => $4) ELSE run_at END,
    lease_token = NULL, locked_until = NULL, last_error = $3, updated_at = now()
WHERE {_HELD}
RETURNING status"""


class LeaseLost(Exception):
    """The lease expired and the job was claimed again: this attempt must leave no trace."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to complete what one claim took. `seconds` is how long each renewal lasts."""

    token: UUID
    worker_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job with what its rules need of the payment, read in the claim's own round trip."""

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

    @property
    def cursor(self) -> "ClaimCursor":
        """The cursor behind which the next job follows."""
        return ClaimCursor(self.priority, self.run_at, self.id)


class ClaimCursor(NamedTuple):
    """A position in the order in which jobs are claimed."""

    priority: int
    run_at: datetime
    job_id: int


FRONT = ClaimCursor(-(2**15), datetime.min.replace(tzinfo=UTC), 0)  # Before every job.


def new_lease(worker_id: str, seconds: float) -> Lease:
    """A lease with a token that no other claim has or will have."""
    return Lease(uuid4(), worker_id, seconds)


async def claim(
    connection: AsyncConnection, lease: Lease, limit: int, after: ClaimCursor = FRONT
) -> list[ClaimedJob]:
    """Take the first `limit` ready jobs behind a cursor; commits by itself in autocommit mode.

    Jobs that another worker is claiming are skipped, never waited for.
    """
    result = await connection.exec_driver_sql(
        # A literal limit: as a parameter it would be planned as a tenth of the table.
        CLAIM.format(limit=int(limit)),
        (lease.token, lease.worker_id, lease.seconds, *after),
    )
    return [ClaimedJob(*tuple(row)) for row in result.all()]


async def complete(tx: AsyncConnection, lease: Lease, job_ids: Sequence[int]) -> None:
    """Finish jobs in the transaction of their work. Raises LeaseLost, which rolls back both."""
    if await _fenced(tx, COMPLETE, job_ids, lease) != len(job_ids):
        raise LeaseLost


async def held_ids(
    connection: AsyncConnection, lease: Lease, job_ids: Sequence[int]
) -> frozenset[int]:
    """Which of the jobs the lease still holds."""
    result = await connection.exec_driver_sql(
        f"SELECT id FROM recon_jobs WHERE {_HELD}", (list(job_ids), lease.token)
    )
    return frozenset(row[0] for row in result)


async def renew(connection: AsyncConnection, lease: Lease, job_ids: Sequence[int]) -> int:
    """Prolong the lease on the jobs still held and not being completed; returns how many."""
    return await _fenced(connection, RENEW, job_ids, lease, lease.seconds)


async def hand_back(connection: AsyncConnection, lease: Lease, job_ids: Sequence[int]) -> int:
    """Make jobs that were not begun claimable at once, without burning an attempt."""
    return await _fenced(connection, HAND_BACK, job_ids, lease)


async def hand_back_leases(connection: AsyncConnection, leases: Collection[Lease]) -> int:
    """Hand back all that these leases hold; returns how many jobs that was.

    For claims whose answer was lost on the way: committed or not, nobody knows what they took.
    """
    tokens = [lease.token for lease in leases]
    result = await connection.exec_driver_sql(HAND_BACK_LEASES, (tokens,))
    return result.rowcount


async def retry_or_bury(
    connection: AsyncConnection, lease: Lease, job: ClaimedJob, error: str
) -> str | None:
    """Put a failed job back with a backoff, or make it a dead letter.

    Returns its new status, 'pending' or 'failed'; None when the lease was lost meanwhile.
    """
    # Postgres texts hold neither NUL nor half a surrogate pair, and an error may quote anything.
    storable = error.replace("\0", "").encode(errors="replace").decode()
    reason = storable[:LAST_ERROR_MAX_CHARS] or "failed without a message"
    result = await connection.exec_driver_sql(
        RETRY_OR_BURY, ([job.id], lease.token, reason, backoff_seconds(job.attempts))
    )
    status: str | None = result.scalar()
    return status


def backoff_seconds(attempts: int, *, random_fraction: float | None = None) -> float:
    """Exponential with full jitter: uniform between 0 and min(300, 2^(attempts-1)) seconds.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    fraction = random.random() if random_fraction is None else random_fraction  # nosec B311 # noqa: S311 - no secret
    exponent = min(max(attempts - 1, 0), 30)  # 2^30 s is far beyond the cap; more overflows.
    return float(fraction * min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS_BASE * 2**exponent))


async def _fenced(
    connection: AsyncConnection, statement: str, job_ids: Sequence[int], lease: Lease, *more: Any
) -> int:
    result = await connection.exec_driver_sql(statement, (list(job_ids), lease.token, *more))
    return result.rowcount
