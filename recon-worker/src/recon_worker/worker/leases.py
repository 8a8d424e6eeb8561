"""The leases of one worker: what they hold, and those that it has to give back."""

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
    """All lanes' leases, from the claim until the last of its jobs is settled."""

    def __init__(self) -> None:
        self._held: dict[Lease, Sequence[ClaimedJob]] = {}
        self._interrupted: set[Lease] = set()

    @contextmanager
    def claiming(self, lease: Lease) -> Iterator[None]:
        """Around a claim: if it fails it may be committed all the same, and its answer lost."""
        try:
            yield
        except BaseException:
            self._interrupted.add(lease)
            raise

    @contextmanager
    def holding(self, lease: Lease, jobs: Sequence[ClaimedJob]) -> Iterator[None]:
        """Around the work on what a claim took: its lease is renewed meanwhile."""
        self._held[lease] = jobs
        try:
            yield
        except BaseException as error:
            # No fault of the jobs: they need not wait for their lease to run out.
            if isinstance(error, asyncio.CancelledError) or is_unavailable(error):
                self._interrupted.add(lease)
            raise
        finally:
            del self._held[lease]

    async def renew(self, engine: AsyncEngine) -> None:
        """Prolong every lease that is held."""
        for lease, jobs in list(self._held.items()):
            try:
                async with single_statement(engine) as connection:
                    await queue.renew(connection, lease, [job.id for job in jobs])
                reach("after_renewal")
            except Exception as error:  # Fenced: a lapsed lease costs time, not money.
                log.warning("lease_not_renewed", extra={"error": reason_of(error)})

    async def hand_back_interrupted(self, connection: AsyncConnection) -> None:
        """Make claimable again what interrupted claims and batches still hold."""
        interrupted = frozenset(self._interrupted)
        if not interrupted:
            return
        freed = await queue.hand_back_leases(connection, interrupted)
        self._interrupted -= interrupted
        if freed:
            log.info("jobs_handed_back", extra={"jobs": freed})
