"""The leases of one worker: the jobs they hold, and interrupted leases to hand back."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import is_unavailable, reason_of, single_statement
from payments_core.queue import jobs as queue
from payments_core.queue.jobs import ClaimedJob, Lease
from recon_worker.failpoints import reach

log = logging.getLogger(__name__)


class Leases:
    """The leases of all lanes, from each claim until its last job is settled."""

    def __init__(self) -> None:
        self._held: dict[Lease, Sequence[ClaimedJob]] = {}
        self._interrupted: set[Lease] = set()

    @contextmanager
    def claiming(self, lease: Lease) -> Iterator[None]:
        """Wrap a claim. A claim that fails may have committed, with its answer lost."""
        try:
            yield
        except BaseException:
            self._interrupted.add(lease)
            raise

    @contextmanager
    def holding(self, lease: Lease, jobs: Sequence[ClaimedJob]) -> Iterator[None]:
        """Wrap the work on a claim's jobs; its lease is renewed meanwhile."""
        self._held[lease] = jobs
        try:
            yield
        except BaseException as error:
            # The jobs are not at fault, so they need not wait for the lease to expire.
            if isinstance(error, asyncio.CancelledError) or is_unavailable(error):
                self._interrupted.add(lease)
            raise
        finally:
            del self._held[lease]

    async def renew(self, engine: AsyncEngine) -> None:
        """Renew every held lease."""
        for lease, jobs in list(self._held.items()):
            try:
                async with single_statement(engine) as connection:
                    await queue.renew(connection, lease, [job.id for job in jobs])
                reach("after_renewal")
            except Exception as error:  # The fence makes an expired lease harmless.
                log.warning("lease_renewal_failed", extra={"error": reason_of(error)})

    async def hand_back_interrupted(self, connection: AsyncConnection) -> None:
        """Return the jobs of interrupted claims and batches to the queue."""
        interrupted = frozenset(self._interrupted)
        if not interrupted:
            return
        freed = await queue.hand_back_leases(connection, interrupted)
        self._interrupted -= interrupted
        if freed:
            log.info("jobs_handed_back", extra={"jobs": freed})
