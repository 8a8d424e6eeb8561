"""The worker's loop: claim jobs, reconcile them, renew leases, drain on stop."""

import asyncio
import logging
import os
import secrets
import socket
from contextlib import suppress
from time import monotonic, time_ns

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import is_unavailable, reason_of, single_statement
from payments_core.db.schema_version import schema_problem
from payments_core.queue import jobs as queue
from payments_core.queue import maintenance
from payments_core.queue.notify import Notifier
from payments_core.repeat import every
from payments_core.server.options import Lifecycle
from payments_core.supervise import Supervisor
from recon_worker import metrics
from recon_worker.failpoints import reach
from recon_worker.reconciliation import spans
from recon_worker.reconciliation.post import clearing_shard
from recon_worker.reconciliation.reconcile import BatchResult, Reconciler
from recon_worker.settings import WorkerSettings
from recon_worker.worker import heartbeat
from recon_worker.worker.claims import FRONT_CLAIM_PAUSE_FACTOR, BatchSize, ClaimOrder
from recon_worker.worker.heartbeat import Settled
from recon_worker.worker.leases import Leases
from recon_worker.worker.wakeups import Polling

HEARTBEAT_SECONDS = 5.0
SCHEMA_POLL_SECONDS = 0.5
PRUNE_INTERVAL_SECONDS_MIN, PRUNE_INTERVAL_SECONDS_MAX = 5.0, 60.0
PRUNE_ROUNDS_MAX = 200  # A million jobs a minute, more than workers can finish.
PRUNE_PAUSE_SECONDS = 0.1
LEAVE_SECONDS_MAX = 2.0  # For each last step of a stopping worker.
UNAVAILABLE_PAUSE_SECONDS_MAX = 2.0  # Work resumes this soon after Postgres is back.

log = logging.getLogger(__name__)


def prune_interval_seconds(retention_seconds: float) -> float:
    """Return the seconds between two prunings of finished jobs.

    A quarter of the retention, so that a short retention keeps the table small.
    """
    quarter = retention_seconds / 4
    return min(max(quarter, PRUNE_INTERVAL_SECONDS_MIN), PRUNE_INTERVAL_SECONDS_MAX)


def new_worker_id() -> str:
    """Return a fresh id, so that a restarted worker cannot be taken for its predecessor."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


class Worker:
    """One worker process: `concurrency` lanes that claim and settle, and their maintenance."""

    def __init__(
        self,
        settings: WorkerSettings,
        engine: AsyncEngine,
        dsn: str,
        lifecycle: Lifecycle,
        version: str,
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.dsn = dsn
        self.lifecycle = lifecycle
        self.version = version
        self.id = new_worker_id()
        self._retention_seconds = settings.retention_days * 86_400
        self.notifier = Notifier(engine)
        self.polling = Polling(settings, lifecycle)
        self.reachable = False
        self.schema_found = asyncio.Event()
        self.not_ready_because = "The worker has not reached the queue yet."
        self._tasks = Supervisor(lifecycle)
        self._leases = Leases()
        self._settled = Settled()

    async def run(self) -> None:
        """Work until the lifecycle stops, then drain. Outages of Postgres interrupt the work."""
        log.info("worker_started", extra={"worker_id": self.id})
        await self._wait_for_schema()
        if not self.settings.does("jobs"):
            await self.lifecycle.stopping.wait()
        if self.lifecycle.draining:
            return
        self._start_maintenance()
        lanes = [
            self._tasks.start(f"lane-{lane}", self._lane(lane))
            for lane in range(self.settings.concurrency)
        ]
        try:
            await self._until_stopped(lanes)
        finally:
            await self._tasks.stop()
            await self._leave()
        log.info("worker_stopped", extra={"worker_id": self.id})

    def _start_maintenance(self) -> None:
        start, prune_seconds = self._tasks.start, prune_interval_seconds(self._retention_seconds)
        start("notifier", self.notifier.run())
        start("lease-renewal", self._renew())
        rescue_seconds = self.settings.rescue_interval_seconds
        start("rescue", every(rescue_seconds, self._rescue, "rescue_failed"))
        start("pruning", every(prune_seconds, self._prune, "pruning_failed"))
        start("heartbeat", every(HEARTBEAT_SECONDS, self._report_heartbeat, "heartbeat_failed"))
        if not self.settings.poll_only:
            start("listener", self.polling.listen(self.dsn))

    async def _wait_for_schema(self) -> None:
        """Wait for the migration: a rollout may start the workers first."""
        while not self.lifecycle.draining:
            try:
                async with single_statement(self.engine) as connection:
                    problem = await schema_problem(connection)
            except Exception as error:  # The worker's role may not exist yet either.
                problem = reason_of(error)
            if problem is None:
                self.schema_found.set()
                return
            if problem != self.not_ready_because:
                log.warning("schema_awaited", extra={"reason": problem})
            self.not_ready_because = problem
            with suppress(TimeoutError):
                await asyncio.wait_for(self.lifecycle.stopping.wait(), SCHEMA_POLL_SECONDS)

    async def _until_stopped(self, lanes: list[asyncio.Task[None]]) -> None:
        await self.lifecycle.stopping.wait()
        self.polling.wake()
        _, late = await asyncio.wait(lanes, timeout=self.settings.drain_seconds)
        if late:
            log.warning("drain_timed_out", extra={"lanes": len(late)})

    async def _lane(self, lane: int) -> None:
        shard = clearing_shard(f"{self.id}/{lane}", self.settings.clearing_shards)
        reconciler = Reconciler(self.engine, shard, lambda: self.lifecycle.draining)
        order, size = ClaimOrder(), BatchSize(self.settings.batch_size)
        poll = self.settings.poll_seconds_min
        pause = 0.05
        while not self.lifecycle.draining:
            limit, began = size.jobs, monotonic()
            try:
                claimed = await self._claim_and_settle(reconciler, order, limit)
            except Exception as error:
                if not is_unavailable(error):
                    # The next batch may succeed; the lease of this one expires.
                    log.exception("batch_failed")
                else:
                    log.warning("database_unavailable", extra={"error": reason_of(error)})
                self.reachable = False
                pause = min(pause * 2, UNAVAILABLE_PAUSE_SECONDS_MAX)
                await self.polling.sleep(pause)
                continue
            self.reachable, pause = True, 0.05
            size.settled(claimed, monotonic() - began)
            if claimed == limit:
                continue
            poll = self.settings.poll_seconds_min if claimed else self.polling.next_interval(poll)
            until_front = order.seconds_to_front()
            await self.polling.sleep(min(poll, until_front) if until_front else poll)

    async def _claim_and_settle(self, reconciler: Reconciler, order: ClaimOrder, limit: int) -> int:
        lease = queue.new_lease(self.id, self.settings.lease_seconds)
        async with single_statement(self.engine) as connection:
            await self._leases.hand_back_interrupted(connection)
            claim_began = time_ns()
            reach("before_claim")
            cursor, began = order.next_cursor(), monotonic()
            with metrics.CLAIM_SECONDS.time(), self._leases.claiming(lease):
                jobs = await queue.claim(connection, lease, limit, cursor)
            order.claimed(cursor, jobs, limit, monotonic() - began)
        if not jobs:
            return 0
        reach("after_claim")
        if self.lifecycle.draining:
            async with single_statement(self.engine) as connection:
                await queue.hand_back(connection, lease, [job.id for job in jobs])
            return 0
        result = BatchResult()
        try:
            with (
                self._leases.holding(lease, jobs),
                metrics.batch(len(jobs)),
                spans.batch(jobs, self.id, claim_began),
            ):
                await reconciler.reconcile(lease, jobs, result)
        finally:
            self._settled.add(result)
            metrics.count(result)
            if result.retried or result.handed_back:
                self.polling.poll_eagerly()
            reach("before_notice")
            self.notifier.payments_changed(result.changed_payments())
        return len(jobs)

    async def _renew(self) -> None:
        """Renew held leases, three times in a lease's duration."""
        while True:
            await asyncio.sleep(self.settings.lease_seconds / 3)
            await self._leases.renew(self.engine)

    async def _rescue(self) -> None:
        began = monotonic()
        async with single_statement(self.engine) as connection:
            freed, dead = await maintenance.rescue_expired(connection)
        if freed or dead:
            reach("after_rescue")
            metrics.rescued(freed, dead)
            log.warning("leases_expired", extra={"freed": freed, "dead": dead})
            self.polling.poll_eagerly()
            self.polling.wake()
        # Under a held snapshot this walks over every lease since, so it must not run all the time.
        await asyncio.sleep(FRONT_CLAIM_PAUSE_FACTOR * (monotonic() - began))

    async def _prune(self) -> None:
        async with single_statement(self.engine) as connection:
            for _ in range(PRUNE_ROUNDS_MAX):
                if not await maintenance.prune_finished(connection, self._retention_seconds):
                    break
                await asyncio.sleep(PRUNE_PAUSE_SECONDS)
            await maintenance.prune_deaths(connection)
            await heartbeat.delete_stale(connection)

    async def _report_heartbeat(self) -> None:
        settled, self._settled = self._settled, Settled()
        try:
            async with single_statement(self.engine) as connection:
                host = socket.gethostname()
                await heartbeat.report_heartbeat(connection, self.id, host, self.version, settled)
        except BaseException:
            self._settled.completed += settled.completed
            self._settled.failed += settled.failed
            self._settled.discrepancy += settled.discrepancy
            raise

    async def _leave(self) -> None:
        for step in (self._hand_back_interrupted, self.notifier.flush, self._deregister):
            # If a step fails now, time repairs it: leases expire, stale workers are deleted.
            with suppress(Exception):
                async with asyncio.timeout(LEAVE_SECONDS_MAX):
                    await step()

    async def _hand_back_interrupted(self) -> None:
        async with single_statement(self.engine) as connection:
            await self._leases.hand_back_interrupted(connection)

    async def _deregister(self) -> None:
        await self._report_heartbeat()
        async with single_statement(self.engine) as connection:
            await heartbeat.leave(connection, self.id)
