"""Create payments: concurrent requests share one statement, and each gets its own answer.

While one statement is under way, new orders gather for the next: no timer, so nobody waits
when the API is idle. The statement stores payments and their jobs, all or nothing, in one
round trip; the unique key makes a repeated order a replay, whoever came first.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import asyncpg
import uuid_utils.compat as uuid_utils
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api.http.errors import DatabaseUnavailable, IdempotencyKeyReused, Overloaded
from payments_api.metrics import statement_measured
from payments_api.payments.batch_answers import BatchAnswers
from payments_api.payments.spans import Sent, sending, writing
from payments_api.payments.store import CREATE, FIND
from payments_core.db.engine import (
    driver_connection,
    is_connection_lost,
    is_unavailable,
    sqlstate_of,
)
from payments_core.domain.payments import CreatedPayment, NewPayment
from payments_core.queue.notify import Notifier

SHARED_ORDERS_MAX = 1_000  # In one statement.
# Turns of the event loop before a statement; so many without a new order, and it begins.
GATHER_TURNS_MAX, QUIET_TURNS = 8, 2
ATTEMPTS_MAX = 3  # A lost connection: the key makes trying again safe.
# Longer than a key in flight elsewhere is waited for; a silent network must not stop us longer.
STATEMENT_SECONDS_MAX = 8.0
DATA_ERROR_CLASSES = ("22", "23")  # Something about a row itself, such as a CHECK.


@dataclass(frozen=True, slots=True)
class Creation:
    """The answer to an order; `replayed` when the payment was there already."""

    payment: CreatedPayment
    replayed: bool


class _Answer(Protocol):
    """Where the answer to one order goes: a future of its own, or its place in a batch."""

    def done(self) -> bool: ...
    def set_result(self, result: Creation, /) -> None: ...
    def set_exception(self, exception: BaseException, /) -> None: ...


@dataclass(slots=True)  # Not frozen: that makes each of a thousand take twice as long.
class _Waiting:
    id: UUID
    order: NewPayment
    fingerprint: bytes
    sent: Sent
    answer: _Answer


class PaymentWriter:
    """The one door by which payments get into the database."""

    def __init__(self, engine: AsyncEngine, notifier: Notifier, waiting_max: int) -> None:
        self._engine = engine
        self._notifier = notifier
        self._waiting: deque[_Waiting] = deque()
        self._waiting_max = waiting_max
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many orders wait for the next statement."""
        return len(self._waiting)

    async def create(self, order: NewPayment, traceparent: str | None) -> Creation:
        """Store the payment and its job, or find what the key stored before.

        Raises IdempotencyKeyReused, Overloaded, DatabaseUnavailable.
        """
        with sending(1, traceparent) as sent:
            self.check_room(1)
            answer: asyncio.Future[Creation] = asyncio.get_running_loop().create_future()
            self._enter([order], [answer], sent)
            return await answer

    async def create_each(
        self, orders: Sequence[NewPayment], traceparent: str | None
    ) -> list[Creation | BaseException]:
        """As create, for many: an answer or an error for each, in order.

        Of orders with one key the first counts. The others follow once it has its answer: in one
        statement, or in two at once, chance would decide which of them is stored.
        """
        first: dict[str, int] = {}
        for place, order in enumerate(orders):
            first.setdefault(order.idempotency_key, place)
        rest = sorted(set(range(len(orders))) - set(first.values()))
        batch: BatchAnswers[Creation] = BatchAnswers(len(orders))
        with sending(len(orders), traceparent) as sent:
            self.check_room(len(orders))
            for places in filter(None, (list(first.values()), rest)):
                self._enter([orders[place] for place in places], batch.expect(places), sent)
                await batch.answered()
        return batch.answers

    def check_room(self, orders: int) -> None:
        """Raises Overloaded where so many more would be too many: ask before work is done."""
        if len(self._waiting) + orders > self._waiting_max:
            raise Overloaded(f"{len(self._waiting)} payments are waiting to be written.")

    def _enter(
        self, orders: Sequence[NewPayment], answers: Sequence[_Answer], sent: Sent
    ) -> None:
        self._waiting.extend(
            _Waiting(uuid_utils.uuid7(), order, order.fingerprint(), sent, answer)
            for order, answer in zip(orders, answers, strict=True)
        )
        self._wake.set()

    async def run(self) -> None:
        """Write what waits, for ever. Several may run: each has a statement under way."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._write_burst()

    async def _gather(self) -> None:
        """Let requests that the loop is at anyway come along: without a timer, and not for long.

        A request takes some turns of the loop from its first byte to here; alone, it waits for
        those of an idle loop, which are microseconds.
        """
        quiet = 0
        for _ in range(GATHER_TURNS_MAX):
            before = len(self._waiting)
            await asyncio.sleep(0)
            quiet = 0 if len(self._waiting) > before else quiet + 1
            if quiet == QUIET_TURNS:
                return

    async def _write_burst(self) -> None:
        """Write batch after batch on one connection, for as long as orders wait."""
        batch: list[_Waiting] = []
        try:
            async with driver_connection(self._engine) as connection:
                while self._waiting:
                    await self._gather()
                    batch = self._take()
                    await self._answer(connection, batch)
        except Exception as error:
            await self._after(error, batch or self._take())

    def _take(self) -> list[_Waiting]:
        take = min(len(self._waiting), SHARED_ORDERS_MAX)
        return [self._waiting.popleft() for _ in range(take)]

    async def _after(self, error: Exception, batch: list[_Waiting], attempt: int = 1) -> None:
        """Try what was not answered again where that can help; refuse it where it cannot."""
        unanswered = [waiting for waiting in batch if not waiting.answer.done()]
        if is_unavailable(error):
            # Most often the connection had died while it was idle, and another one is fine.
            if unanswered and attempt < ATTEMPTS_MAX and is_connection_lost(error):
                await self._write(unanswered, attempt + 1)
            else:
                _refuse(unanswered, DatabaseUnavailable())
        elif len(batch) > 1 and (sqlstate_of(error) or "").startswith(DATA_ERROR_CLASSES):
            # One bad order must not fail its neighbours.
            for waiting in unanswered:
                await self._write([waiting], attempt)
        else:
            _refuse(unanswered, error)

    async def _write(self, batch: list[_Waiting], attempt: int) -> None:
        try:
            async with driver_connection(self._engine) as connection:
                await self._answer(connection, batch)
        except Exception as error:
            await self._after(error, batch, attempt)

    async def _answer(self, connection: "asyncpg.Connection[Any]", batch: list[_Waiting]) -> None:
        created, created_at = await _create(connection, batch)
        if created_at is not None:
            self._notifier.payments_changed(created, jobs_added=True)
        known = []
        all_created = len(created) == len(batch)
        for waiting in batch:
            if waiting.answer.done():
                continue
            if created_at is not None and (all_created or waiting.id in created):
                waiting.answer.set_result(_creation(waiting, created_at))
            else:
                known.append(waiting)
        if known:
            await _replay(connection, known)


async def _create(
    connection: "asyncpg.Connection[Any]", batch: list[_Waiting]
) -> tuple[frozenset[UUID], datetime | None]:
    """The ids of those that were created, and the time that they share, if any were."""
    orders = [waiting.order for waiting in batch]
    columns = (
        [waiting.id for waiting in batch],
        [order.idempotency_key for order in orders],
        [waiting.fingerprint for waiting in batch],
        [order.account_id for order in orders],
        [order.amount for order in orders],
        [order.currency for order in orders],
        [order.description for order in orders],
        [waiting.sent.traceparent for waiting in batch],
    )
    recorded = [waiting.sent.span for waiting in batch if waiting.sent.span is not None]
    with statement_measured(len(batch)), writing(recorded, CREATE, len(batch)):
        rows = await connection.fetch(CREATE, *columns, timeout=STATEMENT_SECONDS_MAX)
    # One transaction has one now().
    return frozenset([row[0] for row in rows]), rows[0][1] if rows else None


async def _replay(connection: "asyncpg.Connection[Any]", known: list[_Waiting]) -> None:
    keys = [waiting.order.idempotency_key for waiting in known]
    rows = await connection.fetch(FIND, keys, timeout=STATEMENT_SECONDS_MAX)
    found = {row[0]: row for row in rows}
    for waiting in known:
        _, fingerprint, *stored = found[waiting.order.idempotency_key]
        payment = CreatedPayment(*stored)
        if waiting.answer.done():
            continue
        if fingerprint != waiting.fingerprint:
            waiting.answer.set_exception(
                IdempotencyKeyReused("Use a fresh key for another payment.")
            )
        else:
            # Ours after all: its statement succeeded, but the connection died before it said so.
            waiting.answer.set_result(Creation(payment, replayed=payment.id != waiting.id))


def _creation(waiting: _Waiting, created_at: datetime) -> Creation:
    order = waiting.order
    payment = CreatedPayment(
        waiting.id, order.account_id, order.amount, order.currency, order.description, created_at
    )
    return Creation(payment, replayed=False)


def _refuse(unanswered: list[_Waiting], error: Exception) -> None:
    for waiting in unanswered:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
