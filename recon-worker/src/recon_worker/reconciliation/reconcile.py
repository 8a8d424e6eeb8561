"""Reconcile the jobs of one claim: all together, or around the one job that fails."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import time_ns
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.bisection import halves
from payments_core.db.engine import (
    is_unavailable,
    reason_of,
    single_statement,
    sqlstate_of,
    transaction,
)
from payments_core.domain.statuses import SETTLED_STATUSES
from payments_core.queue import jobs as queue
from payments_core.queue.jobs import ClaimedJob, Lease, LeaseLost
from recon_worker.failpoints import reach
from recon_worker.reconciliation import spans
from recon_worker.reconciliation.post import DecidedJob, post_batch
from recon_worker.reconciliation.rules import REVERSED, Outcome, decide

log = logging.getLogger(__name__)

# A deadlock or serialization failure says nothing about the jobs.
CONTENTION_SQLSTATES = ("40P01", "40001")
# Statement and lock timeout. When another transaction keeps one account locked, bisection lets
# the rest of the batch through.
OWN_LIMIT_SQLSTATES = ("57014", "55P03")
CONTENTION_RETRIES_MAX = 3


@dataclass(slots=True)
class BatchResult:
    """The outcome of a claim's jobs."""

    settled: list[tuple[ClaimedJob, Outcome]] = field(default_factory=list)
    retried: int = 0
    dead: list[ClaimedJob] = field(default_factory=list)
    lost: int = 0
    handed_back: int = 0

    def settled_payments(self) -> list[tuple[ClaimedJob, Outcome]]:
        """Return the settled jobs that are not of reversals."""
        return [(job, outcome) for job, outcome in self.settled if job.reversal_id is None]

    def changed_payments(self) -> list[UUID]:
        """Return the payments that changed: settled, reversed, or left to an operator."""
        return [job.payment_id for job in (*(job for job, _ in self.settled), *self.dead)]


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Settles batches. `stopping` returns True to end a long bisection early."""

    engine: AsyncEngine
    clearing_shard: str
    stopping: Callable[[], bool] = lambda: False

    async def reconcile(
        self, lease: Lease, jobs: Sequence[ClaimedJob], result: BatchResult
    ) -> None:
        """Settle the jobs and add the outcome of each to `result`.

        A failing batch is halved until the failing job is alone; that job is retried later or
        becomes a dead letter. Raises only when the database is unavailable: jobs that `result`
        does not name are then unchanged, and their lease expires.
        """
        started = False
        waiting = [list(jobs)]
        while waiting:
            part = waiting.pop()
            if started and self.stopping():
                result.handed_back += await self._hand_back(lease, part)
                continue
            started = True
            try:
                decided, began = await self._attempt(lease, part)
            except LeaseLost:
                waiting.extend(await self._after_lost_lease(lease, part, result))
            except Exception as error:
                if is_unavailable(error) and sqlstate_of(error) not in OWN_LIMIT_SQLSTATES:
                    raise
                reach("after_failure")
                if len(part) > 1:
                    await self._renew(lease, part)
                    reach("after_bisection")
                    waiting.extend(reversed(halves(part)))
                else:
                    await self._record_failure(lease, part[0], error, result)
            else:
                result.settled.extend((d.job, d.outcome) for d in decided)
                spans.settled(decided, began)

    async def _attempt(
        self, lease: Lease, jobs: Sequence[ClaimedJob]
    ) -> tuple[list[DecidedJob], int]:
        """Settle all jobs in one transaction; return the decisions and the begin in ns."""
        already = [job.id for job in jobs if job.payment_status in SETTLED_STATUSES]
        decided = [
            DecidedJob(job, REVERSED if job.reversal_id else decide(job.amount))
            for job in jobs
            if job.payment_status not in SETTLED_STATUSES
        ]
        for attempt in range(1, CONTENTION_RETRIES_MAX + 1):
            began = time_ns()
            try:
                async with transaction(self.engine) as tx:
                    if already:
                        # Settled in the meantime, for example by an operator: only the job remains
                        # to complete.
                        await queue.complete(tx, lease, already)
                    if decided:
                        await self.post(tx, lease, decided)
                    reach("after_posting")
                reach("after_commit")
                return decided, began
            except Exception as error:
                if sqlstate_of(error) not in CONTENTION_SQLSTATES:
                    raise
                if attempt == CONTENTION_RETRIES_MAX:
                    raise
                await asyncio.sleep(0.05 * attempt)
        raise AssertionError("the last attempt returns or raises")

    async def post(self, tx: AsyncConnection, lease: Lease, decided: Sequence[DecidedJob]) -> None:
        """Post the decisions in the caller's transaction."""
        await post_batch(tx, lease, decided, self.clearing_shard)

    async def _after_lost_lease(
        self, lease: Lease, part: list[ClaimedJob], result: BatchResult
    ) -> list[list[ClaimedJob]]:
        """Return the parts that deserve another attempt."""
        async with single_statement(self.engine) as connection:
            ids = await queue.held_ids(connection, lease, [job.id for job in part])
        held = [job for job in part if job.id in ids]
        if held and len(part) == 1:
            # Its payment was settled after the claim; the next claim sees that.
            result.handed_back += await self._hand_back(lease, held)
            return []
        result.lost += len(part) - len(held)
        if len(held) == len(part):
            return list(reversed(halves(part)))  # One payment is already settled: find it.
        return [held] if held else []

    async def _renew(self, lease: Lease, jobs: Sequence[ClaimedJob]) -> None:
        # The attempt that was rolled back may have used up most of the lease.
        async with single_statement(self.engine) as connection:
            await queue.renew(connection, lease, [job.id for job in jobs])

    async def _hand_back(self, lease: Lease, jobs: Sequence[ClaimedJob]) -> int:
        async with single_statement(self.engine) as connection:
            return await queue.hand_back(connection, lease, [job.id for job in jobs])

    async def _record_failure(
        self, lease: Lease, job: ClaimedJob, error: Exception, result: BatchResult
    ) -> None:
        reason = reason_of(error)
        async with single_statement(self.engine) as connection:
            status = await queue.retry_or_bury(connection, lease, job, reason)
        reach("after_retry")
        spans.failed(job, error, status)
        result.retried += status == "pending"
        if status == "failed":
            result.dead.append(job)
        result.lost += status is None
        log.log(
            logging.ERROR if status == "failed" else logging.WARNING,
            "job_dead" if status == "failed" else "job_failed",
            extra={
                "job_id": job.id,
                "payment_id": str(job.payment_id),
                "reversal_id": job.reversal_id and str(job.reversal_id),
                "attempts": job.attempts,
                "error": reason[:500],
            },
        )
