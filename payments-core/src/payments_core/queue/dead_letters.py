"""Dead letters: replay or discard them, each action on record."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.audit_log import Operator, record_action
from payments_core.db.engine import AnyRow
from payments_core.db.tables import (
    constant,
    payments,
    recon_jobs,
    reconciliation_results,
    reversal_totals,
    reversals,
)
from payments_core.queue.job_queries import DeadLetterFilter, JobNotFound, get_job, select_oldest

OPERATOR_RULE_VERSION = 0  # An operator's decision: no rule for the auditor to apply again.

_REVERSED = text("""
SELECT payment_id, has_column_privilege('reversal_totals', 'reserved', 'UPDATE') AS may_release
FROM reversals WHERE id = ANY (ARRAY(
    SELECT reversal_id FROM recon_jobs WHERE id = ANY (:job_ids) AND reversal_id IS NOT NULL))""")


class JobNotDead(ValueError):
    """Only a dead letter can be replayed or discarded; this job is in another state."""


class ReversalNotReleased(PermissionError):
    """Only the API's role fails a reversal: discard it on the page, or POST /jobs/{id}/discard."""


async def _lock_matching(tx: AsyncConnection, which: DeadLetterFilter, limit: int) -> list[int]:
    """Lock them in the order of their ids; another operator decides about a locked one."""
    query = select_oldest(which, limit).with_for_update(skip_locked=True)
    return list((await tx.execute(query)).scalars())


async def replay_matching(
    tx: AsyncConnection, which: DeadLetterFilter, limit: int, operator: Operator, reason: str
) -> list[int]:
    """Replay the oldest dead letters that the filter matches; return their job ids."""
    ids = await _lock_matching(tx, which, limit)
    if ids:
        await _make_pending(tx, ids, operator, reason)
    return ids


async def replay(tx: AsyncConnection, job_id: int, operator: Operator, reason: str) -> AnyRow:
    """Return one dead letter to the queue with all attempts. Raises JobNotFound, JobNotDead."""
    await _lock_dead(tx, job_id)
    await _make_pending(tx, [job_id], operator, reason)
    return await get_job(tx, job_id)


async def discard(tx: AsyncConnection, job_id: int, operator: Operator, reason: str) -> AnyRow:
    """Fail the payment or reversal of a dead letter; its result says who decided and why.

    Raises JobNotFound, JobNotDead, ReversalNotReleased.
    """
    await _lock_dead(tx, job_id)
    await _settle_as_failed(tx, [job_id], operator, reason)
    return await get_job(tx, job_id)


async def discard_matching(
    tx: AsyncConnection, which: DeadLetterFilter, limit: int, operator: Operator, reason: str
) -> tuple[list[int], list[UUID]]:
    """Discard the oldest dead letters that the filter matches; return the ids of jobs, payments."""
    ids = await _lock_matching(tx, which, limit)
    return ids, await _settle_as_failed(tx, ids, operator, reason) if ids else []


async def _settle_as_failed(
    tx: AsyncConnection, ids: list[int], operator: Operator, reason: str
) -> list[UUID]:
    """Fail the payments and reversals of these locked dead letters.

    Returns the payments that changed: those that were open, and those of open reversals.
    """
    result = {
        "status": "failed",
        "matched": False,
        "notes": f"Discarded by {operator.name}: {reason}",
        "rule_version": OPERATOR_RULE_VERSION,
    }
    await _lock_totals(tx, ids)
    changed: list[UUID] = []
    for table, subject in ((payments, "payment_id"), (reversals, "reversal_id")):
        rows = await _fail_open(tx, table, recon_jobs.c[subject], ids)
        if rows:
            # One statement for all, with the driver's own types: a row of parameters for each.
            await tx.execute(
                insert(reconciliation_results),
                [{subject: row.id, "recon_job_id": row.job_id, **result} for row in rows],
            )
        changed += [row.payment_id for row in rows]
    done = update(recon_jobs).where(recon_jobs.c.id.in_(ids))
    await tx.execute(done.values(status="completed", updated_at=func.now()))
    await record_action(tx, "discard", operator, reason, ids)
    return changed


async def _lock_totals(tx: AsyncConnection, job_ids: list[int]) -> None:
    """Lock the totals of the reversed payments in one order. Raises ReversalNotReleased.

    A trigger updates them in the order of the reversals' rows, in which two discards could wait for
    each other.
    """
    reversed_ = (await tx.execute(_REVERSED, {"job_ids": job_ids})).all()
    if not all(row.may_release for row in reversed_):
        raise ReversalNotReleased(ReversalNotReleased.__doc__)
    payment_id = reversal_totals.c.payment_id
    ids = {row.payment_id for row in reversed_}
    locked = select(payment_id).where(payment_id.in_(ids)).order_by(payment_id).with_for_update()
    if ids:
        await tx.execute(locked)


async def _fail_open(
    tx: AsyncConnection, table: Table, subject: ColumnElement[Any], ids: list[int]
) -> Sequence[AnyRow]:
    """Fail the open payments or reversals of these jobs; return the ids of each, job, payment."""
    now = func.now()
    # Only the holder of a job's lock settles its payment or reversal: the order of these locks is
    # free.
    settled = update(table).where(
        table.c.id == subject, recon_jobs.c.id.in_(ids), table.c.settled_at.is_(None)
    )
    payment_id = table.c.id if table is payments else table.c.payment_id
    return (
        await tx.execute(
            settled.values(status="failed", settled_at=now, updated_at=now).returning(
                table.c.id, recon_jobs.c.id.label("job_id"), payment_id.label("payment_id")
            )
        )
    ).all()


async def _lock_dead(tx: AsyncConnection, job_id: int) -> AnyRow:
    query = select(recon_jobs).where(recon_jobs.c.id == job_id).with_for_update()
    job = (await tx.execute(query)).one_or_none()
    if job is None:
        raise JobNotFound(JobNotFound.__doc__)
    if job.status != "failed":
        raise JobNotDead(f"Only a dead letter can be replayed or discarded; it is {job.status}.")
    return job


async def _make_pending(
    tx: AsyncConnection, ids: list[int], operator: Operator, reason: str
) -> None:
    now = func.now()
    await tx.execute(
        update(recon_jobs)
        .where(recon_jobs.c.id.in_(ids), recon_jobs.c.status == constant("failed"))
        .values(status="pending", attempts=0, run_at=now, updated_at=now)
    )
    await record_action(tx, "replay", operator, reason, ids)
