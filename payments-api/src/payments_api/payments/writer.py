"""The payment writer: concurrent requests share one statement, and each gets its own answer.

While one statement runs, new payments gather for the next, without a timer, so an idle API adds
no latency. A statement stores payments and their jobs, all or none, in one round trip; the unique
key makes a repeated payment a replay, whichever request was first.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import asyncpg
import uuid_utils.compat as uuid_utils
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api.http.errors import DatabaseUnavailable, Overloaded
from payments_api.payments import store
from payments_api.payments.spans import SendSpan, sending
from payments_api.payments.store import Creation, QueuedPayment
from payments_core.audit_log import Operator
from payments_core.db.bisection import halves
from payments_core.db.engine import (
    driver_connection,
    is_connection_lost,
    is_unavailable,
    sqlstate_of,
)
from payments_core.domain.payments import NewPayment
from payments_core.queue.notify import Notifier

SHARED_PAYMENTS_MAX = 1_000  # In one statement.
# Turns of the event loop before a statement; it starts after QUIET_TURNS without a new payment.
GATHER_TURNS_MAX, QUIET_TURNS = 8, 2
ATTEMPTS_MAX = 3  # After a lost connection: the key makes another attempt safe.
DATA_ERROR_CLASSES = ("22", "23")  # An error in a row itself, such as a violated CHECK.
# To isolate the bad rows of one batch: enough for five of 1,000. One request must not keep the
# others waiting for a thousand statements.
BISECT_STATEMENTS_MAX = 100


class PaymentWriter:
    """The only way by which payments enter the database."""

    def __init__(self, engine: AsyncEngine, notifier: Notifier, queue_max: int) -> None:
        self._engine = engine
        self._notifier = notifier
        self._queue: deque[QueuedPayment] = deque()
        self._queue_max = queue_max
        self._wake = asyncio.Event()

    @property
    def queued(self) -> int:
        """The number of payments that wait for the next statement."""
        return len(self._queue)

    async def create(
        self, payment: NewPayment, traceparent: str | None, operator: Operator | None = None
    ) -> Creation:
        """Store the payment and its job, or find the key's earlier payment.

        An operator is recorded with a payment that is stored, not with a replay. Raises
        IdempotencyKeyReused, Overloaded, DatabaseUnavailable.
        """
        with sending(1, traceparent) as span:
            self.check_room(1)
            (answer,) = self._enqueue([payment], span, operator)
            return await answer

    async def create_each(
        self, payments: Sequence[NewPayment], traceparent: str | None
    ) -> list[Creation | BaseException]:
        """Do the same for many payments; return an outcome or an error for each, in order.

        Of payments with one key the first counts. The others follow in a second round: within one
        statement, or in two at once, chance would decide which of them is stored.
        """
        first: dict[str, int] = {}
        for index, payment in enumerate(payments):
            first.setdefault(payment.idempotency_key, index)
        rest = sorted(set(range(len(payments))) - set(first.values()))
        outcomes: dict[int, Creation | BaseException] = {}
        with sending(len(payments), traceparent) as span:
            self.check_room(len(payments))
            for indexes in filter(None, (list(first.values()), rest)):
                answers = self._enqueue([payments[index] for index in indexes], span)
                settled = await asyncio.gather(*answers, return_exceptions=True)
                outcomes.update(zip(indexes, settled, strict=True))
        return [outcomes[index] for index in range(len(payments))]

    async def replay(self, payments: Sequence[NewPayment]) -> dict[str, Creation]:
        """Return by key the earlier outcome of exactly these payments; store nothing.

        Raises DatabaseUnavailable.
        """
        asked = {payment.idempotency_key: payment for payment in payments}
        if not asked:
            return {}
        try:
            async with driver_connection(self._engine) as connection:
                return await store.find_stored(connection, asked)
        except Exception as error:
            if not is_unavailable(error):
                raise
            raise DatabaseUnavailable from error

    def check_room(self, payments: int) -> None:
        """Raise Overloaded if the queue has no room for this many more."""
        if len(self._queue) + payments > self._queue_max:
            raise Overloaded(f"{len(self._queue)} payments are waiting to be written.")

    def _enqueue(
        self, payments: Sequence[NewPayment], span: SendSpan, operator: Operator | None = None
    ) -> list["asyncio.Future[Creation]"]:
        loop = asyncio.get_running_loop()
        waiting = [
            QueuedPayment(
                uuid_utils.uuid7(),
                payment,
                payment.fingerprint(),
                span,
                operator,
                loop.create_future(),
            )
            for payment in payments
        ]
        self._queue.extend(waiting)
        self._wake.set()
        return [each.answer for each in waiting]

    async def run(self) -> None:
        """Write queued payments until cancelled. Several may run: each has one statement."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                await self._write_burst()

    async def _gather(self) -> None:
        """Let requests that the loop is already handling join, without a timer.

        A request needs a few turns of the loop from its first byte to the queue. A single request
        waits for turns of an idle loop, which take microseconds.
        """
        quiet = 0
        for _ in range(GATHER_TURNS_MAX):
            before = len(self._queue)
            await asyncio.sleep(0)
            quiet = 0 if len(self._queue) > before else quiet + 1
            if quiet == QUIET_TURNS:
                return

    async def _write_burst(self) -> None:
        """Write one batch after another on one connection while payments are queued."""
        batch: list[QueuedPayment] = []
        try:
            async with driver_connection(self._engine) as connection:
                while self._queue:
                    await self._gather()
                    batch = self._take()
                    await self._store(connection, batch)
        except Exception as error:
            await self._recover(error, batch or self._take())

    def _take(self) -> list[QueuedPayment]:
        count = min(len(self._queue), SHARED_PAYMENTS_MAX)
        return [self._queue.popleft() for _ in range(count)]

    async def _recover(
        self, error: Exception, batch: list[QueuedPayment], attempt: int = 1
    ) -> None:
        """Retry unanswered payments where a retry can help; fail them where it cannot."""
        unanswered = _unanswered(batch)
        if is_unavailable(error):
            # Usually the connection had died while idle, and another one works.
            if unanswered and attempt < ATTEMPTS_MAX and is_connection_lost(error):
                await self._write(unanswered, attempt + 1)
            else:
                _fail(unanswered, DatabaseUnavailable())
        elif len(batch) > 1 and _is_data_error(error):
            await self._isolate_bad_rows(unanswered)
        else:
            _fail(unanswered, error)

    async def _write(self, batch: list[QueuedPayment], attempt: int) -> None:
        try:
            async with driver_connection(self._engine) as connection:
                await self._store(connection, batch)
        except Exception as error:
            await self._recover(error, batch, attempt)

    async def _isolate_bad_rows(self, batch: list[QueuedPayment]) -> None:
        """Bisect a batch that the database rejected, until each bad row fails alone."""
        parts = deque(halves(batch))
        for _ in range(BISECT_STATEMENTS_MAX):
            if not parts:
                return
            part = parts.popleft()
            try:
                async with driver_connection(self._engine) as connection:
                    await self._store(connection, part)
            except Exception as error:
                if len(part) > 1 and _is_data_error(error):
                    parts.extend(halves(_unanswered(part)))
                else:
                    await self._recover(error, part)
        for part in parts:
            _fail(part, Overloaded("Too many invalid payments shared a statement."))

    async def _store(
        self, connection: "asyncpg.Connection[Any]", batch: list[QueuedPayment]
    ) -> None:
        """Store a batch in one statement, and answer all of it."""
        created, created_at = await store.insert_batch(connection, batch)
        if created_at is not None:
            self._notifier.payments_changed(created, jobs_added=True)
        known = []
        all_created = len(created) == len(batch)
        for waiting in batch:
            if waiting.answer.done():
                continue
            if created_at is not None and (all_created or waiting.id in created):
                waiting.answer.set_result(store.created(waiting, created_at))
            else:
                known.append(waiting)
        if known:
            await store.answer_from_stored(connection, known)


def _is_data_error(error: Exception) -> bool:
    return (sqlstate_of(error) or "").startswith(DATA_ERROR_CLASSES)


def _unanswered(batch: list[QueuedPayment]) -> list[QueuedPayment]:
    return [waiting for waiting in batch if not waiting.answer.done()]


def _fail(batch: list[QueuedPayment], error: Exception) -> None:
    for waiting in _unanswered(batch):
        waiting.answer.set_exception(error)
