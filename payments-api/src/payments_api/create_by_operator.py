"""Create the payment that an operator asks for: it and the record of who did, or neither.

A page makes a payment now and then, so it has a transaction of its own; what clients send keeps
its shared statement, which records nobody.
"""

import uuid_utils.compat as uuid_utils
from opentelemetry.trace import get_current_span
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api.create_payment import CREATE, FIND, STATEMENT_SECONDS_MAX, Creation
from payments_api.errors import IdempotencyKeyReused
from payments_core.database import driver_connection
from payments_core.notices import Notifier
from payments_core.operator_actions import Operator
from payments_core.payments import CreatedPayment, PaymentOrder
from payments_core.telemetry import traceparent_of_span

RECORD = """
INSERT INTO operator_actions (action, actor, key_name, trace_id, reason, job_ids, payment_id)
VALUES ('create', $1, $2, $3, '', '{}', $4)"""


async def create_by_operator(
    engine: AsyncEngine,
    notifier: Notifier,
    order: PaymentOrder,
    traceparent: str | None,
    operator: Operator,
) -> Creation:
    """Store payment, job and record, or find what the key stored before.

    A replay is no action: whoever made the payment stays on record for it. Raises
    IdempotencyKeyReused, and what `is_unavailable` knows.
    """
    made, fingerprint = uuid_utils.uuid7(), order.fingerprint()
    span = get_current_span()
    if span.get_span_context().is_valid:
        traceparent = traceparent_of_span(span)
    who = (operator.name, operator.key_name, operator.trace_id)
    stored = (order.account_id, order.amount, order.currency, order.description)
    async with driver_connection(engine) as connection:
        async with connection.transaction():
            row = (made, order.idempotency_key, fingerprint, *stored, traceparent)
            columns = ([value] for value in row)
            created = await connection.fetch(CREATE, *columns, timeout=STATEMENT_SECONDS_MAX)
            if created:
                await connection.execute(RECORD, *who, made, timeout=STATEMENT_SECONDS_MAX)
        if created:
            notifier.payments_changed([made], jobs_added=True)
            return Creation(CreatedPayment(made, *stored, created[0][1]), replayed=False)
        keys = [order.idempotency_key]
        [[_, known, *found]] = await connection.fetch(FIND, keys, timeout=STATEMENT_SECONDS_MAX)
    if known != fingerprint:
        raise IdempotencyKeyReused("Use a fresh key for another payment.")
    return Creation(CreatedPayment(*found), replayed=True)
