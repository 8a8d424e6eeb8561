"""Dead letters: list, replay or discard them, each action on record."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.audit_log import Operator, record_action
from payments_core.db.engine import AnyRow
from payments_core.db.tables import constant, payments, recon_jobs, reconciliation_results
from payments_core.domain.statuses import REPLAY_JOBS_MAX

OPERATOR_RULE_VERSION = 0  # An operator's decision: no rule for the auditor to apply again.


class JobNotFound(LookupError):
    """No job has that id; finished jobs are pruned after a while."""


class JobNotDead(ValueError):
    """Only a dead letter can be replayed or discarded; this job is in another state."""


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """A selection of dead letters; None selects all."""

    error_contains: str | None = None
    account_id: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the WHERE terms over recon_jobs, for dead letters only."""
        terms: list[ColumnElement[bool]] = [recon_jobs.c.status == constant("failed")]
        if self.error_contains is not None:
            terms.append(recon_jobs.c.last_error.contains(self.error_contains, autoescape=True))
        if self.account_id is not None:
            of_account = select(payments.c.id).where(payments.c.account_id == self.account_id)
            terms.append(recon_jobs.c.payment_id.in_(of_account))
        if self.created_from is not None:
            terms.append(recon_jobs.c.created_at >= self.created_from)
        if self.created_to is not None:
            terms.append(recon_jobs.c.created_at < self.created_to)
        return terms


async def list_jobs(
    tx: AsyncConnection, status: str, limit: int, before_id: int | None = None
) -> Sequence[AnyRow]:
    """Return jobs in a status, newest first, with ids below `before_id`."""
    query = select(recon_jobs).where(recon_jobs.c.status == constant(status))
    if before_id is not None:
        query = query.where(recon_jobs.c.id < before_id)
    return (await tx.execute(query.order_by(recon_jobs.c.id.desc()).limit(constant(limit)))).all()


async def get_job(tx: AsyncConnection, job_id: int) -> AnyRow:
    """Return one job, in any status. Raises JobNotFound."""
    row = (await tx.execute(select(recon_jobs).where(recon_jobs.c.id == job_id))).one_or_none()
    if row is None:
        raise JobNotFound(JobNotFound.__doc__)
    return row


async def count_dead(tx: AsyncConnection, which: DeadLetterFilter, limit: int) -> int:
    """Return how many dead letters the filter matches, up to the limit."""
    matching = select(recon_jobs.c.id).where(*which.conditions()).limit(limit).subquery()
    return (await tx.execute(select(func.count()).select_from(matching))).scalar_one()


async def replay_matching(
    tx: AsyncConnection, which: DeadLetterFilter, limit: int, operator: Operator, reason: str
) -> list[int]:
    """Replay the oldest dead letters that the filter matches; return their job ids."""
    dead = (
        select(recon_jobs.c.id)
        .where(*which.conditions())
        .order_by(recon_jobs.c.id)
        .limit(min(limit, REPLAY_JOBS_MAX))
        .with_for_update(skip_locked=True)
    )
    ids = list((await tx.execute(dead)).scalars())
    if ids:
        await _make_pending(tx, ids, operator, reason)
    return ids


async def replay(tx: AsyncConnection, job_id: int, operator: Operator, reason: str) -> AnyRow:
    """Return one dead letter to the queue with all attempts. Raises JobNotFound, JobNotDead."""
    await _lock_dead(tx, job_id)
    await _make_pending(tx, [job_id], operator, reason)
    return await get_job(tx, job_id)


async def discard(tx: AsyncConnection, job_id: int, operator: Operator, reason: str) -> AnyRow:
    """Fail the payment of a dead letter, with a result that says who decided and why.

    Raises JobNotFound, JobNotDead.
    """
    job = await _lock_dead(tx, job_id)
    now = func.now()
    settled = await tx.execute(
        update(payments)
        .where(payments.c.id == job.payment_id, payments.c.settled_at.is_(None))
        .values(status="failed", settled_at=now, updated_at=now)
    )
    if settled.rowcount:
        await _record_discard(tx, job.payment_id, job_id, f"Discarded by {operator.name}: {reason}")
    await tx.execute(
        update(recon_jobs)
        .where(recon_jobs.c.id == job_id)
        .values(status="completed", updated_at=now)
    )
    await record_action(tx, "discard", operator, reason, [job_id])
    return await get_job(tx, job_id)


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


async def _record_discard(tx: AsyncConnection, payment_id: UUID, job_id: int, notes: str) -> None:
    await tx.execute(
        insert(reconciliation_results).values(
            payment_id=payment_id,
            recon_job_id=job_id,
            status="failed",
            matched=False,
            notes=notes,
            rule_version=OPERATOR_RULE_VERSION,
        )
    )
