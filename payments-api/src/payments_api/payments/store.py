"""The statements that store payments with their jobs, and find those stored before."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from payments_api.http.errors import IdempotencyKeyReused
from payments_api.metrics import statement_measured
from payments_api.payments.spans import SendSpan, writing
from payments_core.audit_log import Operator
from payments_core.domain.payments import NO_METADATA, CreatedPayment, NewPayment
from payments_core.queue import jobs

# Longer than the wait for a key in flight elsewhere; a silent network must not block for longer.
STATEMENT_SECONDS_MAX = 8.0

# Every statement inserts its keys in one order, so two that share keys cannot deadlock. A key
# that another transaction is inserting is waited for, then skipped.
_CREATE = """
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::numeric[],
                         $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[]
                         {operator_arrays})
        AS asked (id, idempotency_key, request_fingerprint, account_id, amount, currency,
                  description, traceparent, reference, metadata, source{operator_names})
), created AS (
    INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount,
                          currency, description, traceparent, reference, metadata, source)
    SELECT id, idempotency_key, request_fingerprint, account_id, amount, currency, description,
           traceparent, reference, metadata::jsonb, source
    FROM asked ORDER BY idempotency_key
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING id, created_at, traceparent
), enqueued AS (
    {enqueue}
){recorded}
SELECT id, created_at FROM created"""

_ENQUEUE = jobs.ENQUEUE.format(source="created")

CREATE = _CREATE.format(enqueue=_ENQUEUE, operator_arrays="", operator_names="", recorded="")

# For a batch in which an operator creates a payment: a replay is no action, and not recorded.
CREATE_RECORDED = _CREATE.format(
    enqueue=_ENQUEUE,
    operator_arrays=", $12::text[], $13::text[], $14::text[]",
    operator_names=", actor, key_name, trace_id",
    recorded=""", recorded AS (
    INSERT INTO operator_actions (action, actor, key_name, trace_id, reason, job_ids, payment_id)
    SELECT 'create', actor, key_name, trace_id, '', '{}', id
    FROM created JOIN asked USING (id) WHERE actor IS NOT NULL
)""",
)

# A separate statement: a transaction that made the first one skip a key may have committed.
FIND = """
SELECT idempotency_key, request_fingerprint, id, account_id, amount, currency, description,
       created_at, reference, coalesce(metadata::text, '{}'), source
FROM payments WHERE idempotency_key = ANY ($1::text[])"""


@dataclass(frozen=True, slots=True)
class Creation:
    """The outcome of a creation; `replayed` if its key had stored the payment before."""

    payment: CreatedPayment
    replayed: bool


@dataclass(slots=True)  # Not frozen, which would double the time to make each of a thousand.
class QueuedPayment:
    """A payment that waits to be stored, and the future for its outcome."""

    id: UUID
    payment: NewPayment
    fingerprint: bytes
    span: SendSpan
    operator: Operator | None
    answer: "asyncio.Future[Creation]"


async def insert_batch(
    connection: "asyncpg.Connection[Any]", batch: list[QueuedPayment]
) -> tuple[frozenset[UUID], datetime | None]:
    """Return the ids of the payments that were created, and the time that they share."""
    payments = [waiting.payment for waiting in batch]
    columns: list[list[Any]] = [
        [waiting.id for waiting in batch],
        [payment.idempotency_key for payment in payments],
        [waiting.fingerprint for waiting in batch],
        [payment.account_id for payment in payments],
        [payment.amount for payment in payments],
        [payment.currency for payment in payments],
        [payment.description for payment in payments],
        [waiting.span.traceparent for waiting in batch],
        [payment.reference for payment in payments],
        # Without metadata NULL, which takes no room in the row.
        [None if payment.metadata == NO_METADATA else payment.metadata for payment in payments],
        [payment.source for payment in payments],
    ]
    statement, operators = CREATE, [waiting.operator for waiting in batch]
    if any(operators):
        statement = CREATE_RECORDED
        columns += [
            [operator and operator.name for operator in operators],
            [operator and operator.key_name for operator in operators],
            [operator and operator.trace_id for operator in operators],
        ]
    spans = [waiting.span.span for waiting in batch if waiting.span.span is not None]
    with statement_measured(len(batch)), writing(spans, statement, len(batch)):
        rows = await connection.fetch(statement, *columns, timeout=STATEMENT_SECONDS_MAX)
    # One transaction has one now().
    return frozenset([row[0] for row in rows]), rows[0][1] if rows else None


async def answer_from_stored(
    connection: "asyncpg.Connection[Any]", known: list[QueuedPayment]
) -> None:
    """Answer payments whose keys are stored already."""
    keys = [waiting.payment.idempotency_key for waiting in known]
    rows = await connection.fetch(FIND, keys, timeout=STATEMENT_SECONDS_MAX)
    row_of = {row[0]: row for row in rows}
    for waiting in known:
        _, fingerprint, *stored = row_of[waiting.payment.idempotency_key]
        payment = CreatedPayment(*stored)
        if waiting.answer.done():
            continue
        if fingerprint != waiting.fingerprint and not waiting.payment.asks_for(payment):
            waiting.answer.set_exception(
                IdempotencyKeyReused("Use a fresh key for another payment.")
            )
        else:
            # The same id: an earlier attempt committed, and the connection died before it said so.
            waiting.answer.set_result(Creation(payment, replayed=payment.id != waiting.id))


async def find_stored(
    connection: "asyncpg.Connection[Any]", asked: Mapping[str, NewPayment]
) -> dict[str, Creation]:
    """Return by key the payments that are stored and are exactly those asked for."""
    rows = await connection.fetch(FIND, list(asked), timeout=STATEMENT_SECONDS_MAX)
    stored = {row[0]: CreatedPayment(*row[2:]) for row in rows}
    return {
        key: Creation(payment, replayed=True)
        for key, payment in stored.items()
        if asked[key].asks_for(payment)
    }


def created(waiting: QueuedPayment, created_at: datetime) -> Creation:
    """Return the outcome for a payment that its statement created."""
    new = waiting.payment
    payment = CreatedPayment(
        waiting.id,
        new.account_id,
        new.amount,
        new.currency,
        new.description,
        created_at,
        new.reference,
        new.metadata,
        new.source,
    )
    return Creation(payment, replayed=False)
