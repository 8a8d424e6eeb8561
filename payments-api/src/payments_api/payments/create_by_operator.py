"""Create the payment that an operator asks for: it and the record of who did, or neither.

A page makes a payment now and then, so it has a transaction of its own; what clients send keeps
its shared statement, which records nobody.
"""

import asyncio
from uuid import UUID

import uuid_utils.compat as uuid_utils
from opentelemetry.trace import get_current_span
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api.http.errors import IdempotencyKeyReused
from payments_api.payments.store import CREATE, FIND
from payments_api.payments.writer import STATEMENT_SECONDS_MAX, Creation
from payments_core.audit_log import Operator, record_action
from payments_core.db.engine import AnyRow, is_connection_lost, transaction
from payments_core.domain.payments import CreatedPayment, NewPayment
from payments_core.observability.tracing import traceparent_of_span
from payments_core.queue.notify import Notifier


async def create_by_operator(
    engine: AsyncEngine,
    notifier: Notifier,
    order: NewPayment,
    traceparent: str | None,
    operator: Operator,
) -> Creation:
    """Store payment, job and record, or find what the key stored before.

    A replay is no action: the operator who made the payment stays on record for it. A lost
    session is retried once, which the key makes safe. Raises IdempotencyKeyReused, and what
    `is_unavailable` knows.
    """
    made = uuid_utils.uuid7()
    async with asyncio.timeout(STATEMENT_SECONDS_MAX):
        try:
            return await _create(engine, notifier, order, traceparent, operator, made)
        except Exception as error:
            if not is_connection_lost(error):
                raise
        return await _create(engine, notifier, order, traceparent, operator, made)


async def _create(
    engine: AsyncEngine,
    notifier: Notifier,
    order: NewPayment,
    traceparent: str | None,
    operator: Operator,
    made: UUID,
) -> Creation:
    fingerprint = order.fingerprint()
    span = get_current_span()
    if span.get_span_context().is_valid:
        traceparent = traceparent_of_span(span)
    stored = (order.account_id, order.amount, order.currency, order.description)
    values = (made, order.idempotency_key, fingerprint, *stored, traceparent)
    columns = tuple([value] for value in values)
    row: AnyRow | None
    async with transaction(engine) as tx:
        row = (await tx.exec_driver_sql(CREATE, columns)).one_or_none()
        if row is None:
            # A statement of its own sees what the first one had to wait for.
            keys = [order.idempotency_key]
            existing: AnyRow = (await tx.exec_driver_sql(FIND, (keys,))).one()
        else:
            await record_action(tx, "create", operator, payment_id=made)
    if row is not None:
        notifier.payments_changed([made], jobs_added=True)
        return Creation(CreatedPayment(made, *stored, row[1]), replayed=False)
    _, known, *found = existing
    if known != fingerprint:
        raise IdempotencyKeyReused("Use a fresh key for another payment.")
    payment = CreatedPayment(*found)
    # Ours after all: the first attempt committed, and its answer was lost.
    return Creation(payment, replayed=payment.id != made)
