"""The sender: claim due deliveries, send them side by side, record them in batches."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from time import monotonic

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement, transaction
from payments_core.repeat import log_failure
from payments_core.server.options import Lifecycle
from recon_worker.failpoints import reach
from recon_worker.webhooks import metrics
from recon_worker.webhooks.claims import LEASE_SECONDS, Attempt, Claimed, claim, hand_back, record
from recon_worker.webhooks.client import ATTEMPT_SECONDS_MAX, AttemptFailed, WebhookClient
from recon_worker.webhooks.connection import Answer
from recon_worker.webhooks.health import observe
from recon_worker.webhooks.resolve import ResolverBusy
from recon_worker.webhooks.retries import delay_seconds, retry_after_seconds
from recon_worker.webhooks.sign import signed_headers

# While nothing is due. A fan-out of this process wakes the sender at once, so what waits for it are
# retries, whose delays are seconds, and what a command or another worker made due.
POLL_SECONDS = 0.5
GATHER_SECONDS = 0.02  # Attempts that end within it are recorded together.
RECORD_MAX = 200
UNAVAILABLE_PAUSE_SECONDS = 1.0
LEAVE_SECONDS_MAX = 3.0
# An attempt that has not begun by then might end after its lease, beside another worker's.
START_SECONDS_MAX = LEASE_SECONDS - 2 * ATTEMPT_SECONDS_MAX
USER_AGENT = "payments-webhooks"

log = logging.getLogger(__name__)


class Sender:
    """The attempts of one process, at most `concurrency` of them from claim to record."""

    def __init__(
        self,
        engine: AsyncEngine,
        client: WebhookClient,
        lifecycle: Lifecycle,
        *,
        concurrency: int,
        drain_seconds: float,
    ) -> None:
        self._engine = engine
        self._client = client
        self._lifecycle = lifecycle
        self._concurrency = concurrency
        self._drain_seconds = drain_seconds
        self._claimed: dict[Claimed, float] = {}  # Until recorded; when it was claimed.
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: list[Attempt] = []
        self._wake = asyncio.Event()
        self._has_ended = asyncio.Event()
        self.reachable = False

    def wake(self) -> None:
        """Look for due deliveries now."""
        self._wake.set()

    async def run(self) -> None:
        """Send until the lifecycle stops, then finish the attempts under way."""
        recording = asyncio.create_task(self._record_all())
        stopping = asyncio.create_task(self._wake_to_stop())
        try:
            while not self._lifecycle.draining:
                await self._claim_and_start()
            await self._finish_attempts()
        finally:
            recording.cancel()
            stopping.cancel()
            await asyncio.gather(recording, stopping, return_exceptions=True)
            await self._client.close()
        # If this fails now, time repairs it: the leases expire.
        with suppress(Exception):
            async with asyncio.timeout(LEAVE_SECONDS_MAX):
                await self._leave()

    async def _wake_to_stop(self) -> None:
        await self._lifecycle.stopping.wait()
        self._wake.set()

    async def _claim_and_start(self) -> None:
        self._wake.clear()
        free = self._concurrency - len(self._claimed)
        if not free:
            await self._wait(POLL_SECONDS)
            return
        in_flight = Counter(one.endpoint_id for one in self._claimed)
        try:
            began = monotonic()
            async with single_statement(self._engine) as connection:
                claimed = await claim(connection, in_flight, free)
            self.reachable = True
        except Exception as error:
            self.reachable = False
            log_failure("webhooks_claim_failed", error)
            await self._wait(UNAVAILABLE_PAUSE_SECONDS)
            return
        for one in claimed:
            self._claimed[one] = began
            task = asyncio.create_task(self._attempt(one))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if not claimed:
            self._client.close_idle()
            await self._wait(POLL_SECONDS)

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    async def _attempt(self, one: Claimed) -> None:
        attempt: Attempt | None = None
        if monotonic() <= self._claimed[one] + START_SECONDS_MAX:
            with metrics.IN_FLIGHT.track_inprogress(), metrics.ATTEMPT_SECONDS.time():
                attempt = await self._send(one)
        if attempt is None:
            del self._claimed[one]  # Its lease expires, and it is due again.
            return
        reach("after_webhook_sent")
        self._ended.append(attempt)
        self._has_ended.set()

    async def _send(self, one: Claimed) -> Attempt | None:
        """Return the attempt, or None if it could not begin."""
        began = monotonic()
        started_at = one.claimed_at + timedelta(seconds=began - self._claimed[one])
        try:
            headers = [
                *signed_headers(one.event_id, int(started_at.timestamp()), one.body, one.secrets),
                ("content-type", "application/json"),
                ("user-agent", USER_AGENT),
            ]
            answer = await self._client.post(one.url, headers, one.body, one.endpoint_id)
            return _judged(one, started_at, monotonic() - began, answer)
        except ResolverBusy as busy:
            # No fault of its own may count against the endpoint.
            log.warning("webhook_not_sent", extra={"delivery": str(one.id), "reason": str(busy)})
            return None
        except AttemptFailed as failed:
            error = str(failed)
        except Exception as unexpected:  # Whatever a receiver provokes is its own failure.
            log.exception("webhook_attempt_failed", extra={"delivery": str(one.id)})
            error = f"{type(unexpected).__name__} in the sender"
        return _unanswered(one, started_at, monotonic() - began, error)

    async def _record_all(self) -> None:
        while True:
            await self._has_ended.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._has_ended.clear()
            while self._ended:
                try:
                    await self._record(self._ended[:RECORD_MAX])
                except Exception as error:
                    # They wait for Postgres; their places bound how many.
                    log_failure("webhooks_record_failed", error)
                    await asyncio.sleep(UNAVAILABLE_PAUSE_SECONDS)

    async def _record(self, attempts: Sequence[Attempt]) -> None:
        async with transaction(self._engine) as tx:
            statuses = await record(tx, attempts)
            disabled = await observe(tx, attempts)
            reach("before_webhook_commit")
        del self._ended[: len(attempts)]
        for attempt in attempts:
            self._claimed.pop(attempt.delivery, None)
            status = statuses.get(attempt.delivery.id)
            outcome = "lease_lost" if status is None else status
            metrics.ATTEMPTS.labels("retried" if outcome == "pending" else outcome).inc()
        for endpoint_id, reason in disabled:
            metrics.ENDPOINTS_DISABLED.labels(reason).inc()
            log.warning("webhook_disabled", extra={"endpoint": str(endpoint_id), "reason": reason})
        self._wake.set()

    async def _finish_attempts(self) -> None:
        """Wait for the attempts under way, within the drain; cancel the rest."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._drain_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _leave(self) -> None:
        """Record the attempts that have ended, and hand the rest back."""
        while self._ended:
            await self._record(self._ended[:RECORD_MAX])
        if self._claimed:
            async with single_statement(self._engine) as connection:
                await hand_back(connection, list(self._claimed))
            log.info("webhooks_handed_back", extra={"deliveries": len(self._claimed)})


def _judged(one: Claimed, started_at: datetime, seconds: float, answer: Answer) -> Attempt:
    status, text = answer.status, answer.text
    if 200 <= status < 300:
        return Attempt(one, started_at, seconds, status, text, None, "delivered")
    if status == 410:
        return Attempt(one, started_at, seconds, status, text, None, "failed", gone=True)
    answered_at = started_at + timedelta(seconds=seconds)
    wait = retry_after_seconds(status, answer.retry_after, answered_at)
    delay = max(wait, delay_seconds(one.attempts - one.earlier_attempts))
    return Attempt(one, started_at, seconds, status, text, None, "retry", delay, wait)


def _unanswered(one: Claimed, started_at: datetime, seconds: float, error: str) -> Attempt:
    delay = delay_seconds(one.attempts - one.earlier_attempts)
    return Attempt(one, started_at, seconds, None, None, error, "retry", delay)
