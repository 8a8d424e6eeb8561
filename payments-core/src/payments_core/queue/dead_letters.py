"""Dead letters: list, replay or discard them, each action on record."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Table, func, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.audit_log import Operator, record_action
from payments_core.db.engine import AnyRow
from payments_core.db.keyset import NEWEST_FIRST, Walk
from payments_core.db.tables import (
    constant,
    payments,
    recon_jobs,
    reconciliation_results,
    reversal_totals,
    reversals,
)
from payments_core.domain.statuses import REPLAY_JOBS_MAX

# An error's group is its text without the parts that differ from job to job: numbers and UUIDs.
ERROR_GROUP_MAX_CHARS = 300
VARYING = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9]+"
_ERROR_GROUP: ColumnElement[str] = func.regexp_replace(
    func.left(recon_jobs.c.last_error, constant(ERROR_GROUP_MAX_CHARS)),
    constant(VARYING),
    constant("#"),
    constant("g"),
)

OPERATOR_RULE_VERSION = 0  # An operator's decision: no rule for the auditor to apply again.


_REVERSED = text("""
SELECT payment_id, has_column_privilege('reversal_totals', 'reserved', 'UPDATE') AS may_release
FROM reversals WHERE id = ANY (ARRAY(
    SELECT reversal_id FROM recon_jobs WHERE id = ANY (:job_ids) AND reversal_id IS NOT NULL))""")


class JobNotFound(LookupError):
    """No job has that id; finished jobs are pruned after a while."""


class JobNotDead(ValueError):
    """Only a dead letter can be replayed or discarded; this job is in another state."""


class ReversalNotReleased(PermissionError):
    """Only the API's role fails a reversal: discard it on the page, or POST /jobs/{id}/discard."""


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """A selection of dead letters; None selects all."""

    error_contains: str | None = None
    account_id: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    job_ids: Sequence[int] | None = None
    error_group: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the WHERE terms over recon_jobs, for dead letters only."""
        terms: list[ColumnElement[bool]] = [recon_jobs.c.status == constant("failed")]
        if self.error_contains is not None:
            terms.append(recon_jobs.c.last_error.contains(self.error_contains, autoescape=True))
        if self.account_id is not None:
            of_account = select(payments.c.id).where(payments.c.account_id == self.account_id)
            reversed_ = select(reversals.c.id).where(reversals.c.account_id == self.account_id)
            terms.append(
                or_(
                    recon_jobs.c.payment_id.in_(of_account),
                    recon_jobs.c.reversal_id.in_(reversed_),
                )
            )
        if self.created_from is not None:
            terms.append(recon_jobs.c.created_at >= self.created_from)
        if self.created_to is not None:
            terms.append(recon_jobs.c.created_at < self.created_to)
        if self.job_ids is not None:
            terms.append(recon_jobs.c.id.in_(self.job_ids))
        if self.error_group is not None:
            terms.append(_ERROR_GROUP.in_([self.error_group]))
        return terms


# A job with the account, amount and payment of its payment or reversal; outer joins, so that no job
# is hidden.
_JOBS = (
    select(
        *(column for column in recon_jobs.c if column.name != "payment_id"),
        *(
            func.coalesce(one, other).label(one.name)
            for one, other in (
                (recon_jobs.c.payment_id, reversals.c.payment_id),
                (payments.c.account_id, reversals.c.account_id),
                (payments.c.amount, reversals.c.amount),
                (payments.c.currency, reversals.c.currency),
            )
        ),
    )
    .join(payments, payments.c.id == recon_jobs.c.payment_id, isouter=True)
    .join(reversals, reversals.c.id == recon_jobs.c.reversal_id, isouter=True)
)


async def list_jobs(
    tx: AsyncConnection,
    status: str,
    limit: int,
    walk: Walk[int] = NEWEST_FIRST,
    error_group: str | None = None,
) -> Sequence[AnyRow]:
    """Return jobs in a status along the walk, by id."""
    key = recon_jobs.c.id
    query = _JOBS.where(recon_jobs.c.status == constant(status), *walk.beyond(key))
    if error_group is not None:
        query = query.where(_ERROR_GROUP.in_([error_group]))
    return (await tx.execute(query.order_by(*walk.order(key)).limit(constant(limit)))).all()


async def jobs_by_id(tx: AsyncConnection, ids: Sequence[int]) -> Sequence[AnyRow]:
    """Return these jobs, newest first."""
    query = _JOBS.where(recon_jobs.c.id.in_(ids)).order_by(recon_jobs.c.id.desc())
    return (await tx.execute(query)).all()


async def get_job(tx: AsyncConnection, job_id: int) -> AnyRow:
    """Return one job, in any status. Raises JobNotFound."""
    row = (await tx.execute(_JOBS.where(recon_jobs.c.id == job_id))).one_or_none()
    if row is None:
        raise JobNotFound(JobNotFound.__doc__)
    return row


async def matching_ids(tx: AsyncConnection, which: DeadLetterFilter, limit: int) -> list[int]:
    """Return the ids of the oldest dead letters that the filter matches, up to the limit."""
    return list((await tx.execute(_oldest(which, limit))).scalars())


def _oldest(which: DeadLetterFilter, limit: int) -> Select[int]:
    return (
        select(recon_jobs.c.id)
        .where(*which.conditions())
        .order_by(recon_jobs.c.id)
        .limit(min(limit, REPLAY_JOBS_MAX))
    )


async def _lock_matching(tx: AsyncConnection, which: DeadLetterFilter, limit: int) -> list[int]:
    """Lock them in the order of their ids; another operator decides about a locked one."""
    query = _oldest(which, limit).with_for_update(skip_locked=True)
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
