"""Queries of jobs: in a status, by id, or the dead letters that a filter selects."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from payments_core.db.keyset import NEWEST_FIRST, Walk
from payments_core.db.tables import (
    constant,
    payments,
    recon_jobs,
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


class JobNotFound(LookupError):
    """No job has that id; finished jobs are pruned after a while."""


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
    return list((await tx.execute(select_oldest(which, limit))).scalars())


def select_oldest(which: DeadLetterFilter, limit: int) -> Select[int]:
    """Select the ids of the oldest dead letters that the filter matches."""
    return (
        select(recon_jobs.c.id)
        .where(*which.conditions())
        .order_by(recon_jobs.c.id)
        .limit(min(limit, REPLAY_JOBS_MAX))
    )
