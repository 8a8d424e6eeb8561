"""Create reversals: the use case, and the statement that stores one with its job.

The database keeps the sum: a trigger adds each reversal to its payment's total, whose row is the
lock of concurrent reversals, and a CHECK rejects one that would exceed the amount.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_api import metrics
from payments_api.auth.caller import Caller
from payments_api.auth.operator import named_operator
from payments_api.auth.tenants import stored_idempotency_key
from payments_api.http.errors import (
    IdempotencyKeyReused,
    PaymentNotCompleted,
    PaymentNotFound,
    ReversalExceedsPayment,
    ValidationFailed,
)
from payments_api.http.json_body import parse_json_body
from payments_api.http.messages import JSON_TYPE, HeaderFields, header_text
from payments_api.payments.parsing import parse_idempotency_key
from payments_api.payments.references import UNSTORABLE, Errors, metadata_in, reference_in
from payments_api.services import Services
from payments_core.audit_log import Operator
from payments_core.domain.ids import uuid7
from payments_core.domain.money import MoneyError, amount_text, parse_amount_as
from payments_core.domain.payments import NO_METADATA
from payments_core.domain.reversals import REVERSAL_REASON_MAX_CHARS, CreatedReversal, NewReversal
from payments_core.domain.statuses import COMPLETED, FAILED
from payments_core.domain.tenants import is_of_tenant, shown_account
from payments_core.http.answer import Answer
from payments_core.observability.trace_context import valid_traceparent
from payments_core.queue import jobs

FIELDS = frozenset({"amount", "reason", "reference", "metadata"})
EXCEEDED = "reversals_never_exceed_the_payment"

_STORED = """id, payment_id, account_id, amount, currency, reason, reference,
       coalesce(metadata::text, '{}') AS metadata, created_at"""

# $4 NULL reverses the remainder. A key in flight elsewhere is waited for, then skipped. An operator
# ($9) is recorded with a new reversal, not with a replay.
CREATE = f"""
WITH created AS (
    INSERT INTO reversals (id, idempotency_key, request_fingerprint, payment_id, account_id,
                           currency, source, amount, reason, reference, metadata, traceparent)
    SELECT $1, $2, $3, payments.id, account_id, currency, source,
           coalesce($4::numeric, payments.amount - coalesce(reserved, 0)), $5, $6, $7::jsonb, $8
    FROM payments LEFT JOIN reversal_totals ON payment_id = payments.id
    WHERE payments.id = $12 AND status = 'completed'
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING *
), enqueued AS (
    {jobs.ENQUEUE_REVERSALS.format(source="created")}
), recorded AS (
    INSERT INTO operator_actions (action, actor, key_name, trace_id, reason, job_ids, payment_id)
    SELECT 'reverse', $9::text, $10::text, $11::text, reason, '{{}}', payment_id FROM created
    WHERE $9::text IS NOT NULL
)
SELECT {_STORED} FROM created"""

FIND = f"SELECT request_fingerprint, {_STORED} FROM reversals WHERE idempotency_key = $1"

# The payment, and the reversal that the key made before, in one round trip.
LOOK = f"""
SELECT payments.account_id, payments.amount, payments.status, earlier.*
FROM payments LEFT JOIN LATERAL ({FIND}) AS earlier ON true
WHERE payments.id = $2"""


# The amount of a payment that can still be reversed.
REVERSIBLE = """
SELECT payments.amount - coalesce(reserved, 0), currency
FROM payments LEFT JOIN reversal_totals ON payment_id = payments.id
WHERE payments.id = $1"""


async def create_reversal(
    services: Services, payment_id: UUID, fields: HeaderFields, body: bytes, caller: Caller
) -> Answer:
    """Reverse a completed payment, whole or in part, or replay the key's first answer.

    Raises a Problem if the request is rejected; then nothing is stored.
    """
    content = parse_json_body(fields, body)
    key = parse_idempotency_key(header_text(fields, b"idempotency-key"))
    operator = named_operator(fields, caller)
    stored_key = stored_idempotency_key(key, caller.tenant)
    async with services.load_read() as connection:
        row = (await connection.exec_driver_sql(LOOK, (stored_key, payment_id))).one_or_none()
        if row is None:
            raise PaymentNotFound
        account_id, paid, status, *earlier = tuple[Any, ...](row)
        if not is_of_tenant(account_id, caller.tenant):
            raise PaymentNotFound
        new = parse_reversal(content, stored_key, payment_id, paid)
        if status != COMPLETED:
            raise _not_completed(status)
        created = _replay(earlier, new) if earlier[0] is not None else None
        replayed = created is not None
        if created is None:
            traceparent = valid_traceparent(header_text(fields, b"traceparent"))
            created, replayed = await _store(connection, new, traceparent, operator)
    headers = {"Content-Type": JSON_TYPE, "Location": f"/reversals/{created.id}"}
    (metrics.REVERSALS_REPLAYED if replayed else metrics.REVERSALS_CREATED).inc()
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    else:
        services.notifier.payments_changed([payment_id], jobs_added=True)
    shown = shown_account(created.account_id, caller.tenant)
    return Answer(201, headers, created.json_text(shown).encode())


def parse_reversal(
    body: Mapping[str, Any], key: str, payment_id: UUID, paid: Decimal
) -> NewReversal:
    """Return the checked request; its amount has the decimals of the amount paid.

    Raises ValidationFailed.
    """
    errors: Errors = [
        {"field": str(name)[:100], "detail": "is not a field of a reversal"}
        for name in body
        if name not in FIELDS
    ]
    amount = None
    if "amount" in body:
        try:
            amount = parse_amount_as(body["amount"], paid)
            if amount <= 0:
                errors.append({"field": "amount", "detail": "must be positive"})
        except MoneyError as error:
            errors.append({"field": "amount", "detail": str(error)})
    reason = body.get("reason")
    if not isinstance(reason, str) or not 1 <= len(reason) <= REVERSAL_REASON_MAX_CHARS:
        detail = f"must be a string of 1 to {REVERSAL_REASON_MAX_CHARS} characters"
        errors.append({"field": "reason", "detail": detail})
    elif UNSTORABLE.search(reason) or not reason.strip():
        detail = "must not be blank, and must not contain NUL or an unpaired surrogate"
        errors.append({"field": "reason", "detail": detail})
    reference, metadata = reference_in(body, errors), metadata_in(body, errors)
    if errors:
        fields = ", ".join(error["field"] for error in errors)
        raise ValidationFailed(f"Correct {fields} and send the reversal again.", errors=errors)
    return NewReversal(key, payment_id, amount, str(reason), reference, metadata)


async def _store(
    connection: AsyncConnection,
    new: NewReversal,
    traceparent: str | None,
    operator: Operator | None,
) -> tuple[CreatedReversal, bool]:
    """Store the reversal, or find its key's earlier one; return it, and whether it is a replay."""
    values = (
        uuid7(),
        new.idempotency_key,
        new.fingerprint(),
        new.amount,
        new.reason,
        new.reference,
        None if new.metadata == NO_METADATA else new.metadata,
        traceparent,
        operator and operator.name,
        operator and operator.key_name,
        operator and operator.trace_id,
        new.payment_id,
    )
    exceeded = False
    try:
        row = (await connection.exec_driver_sql(CREATE, values)).one_or_none()
        if row is not None:
            return CreatedReversal(*tuple(row)), False
    except IntegrityError as error:
        if _constraint_of(error) not in (EXCEEDED, "reversal_amount_is_positive"):
            raise
        exceeded = True
    # A row is checked before its key: this key may have reversed the rest meanwhile.
    earlier = (await connection.exec_driver_sql(FIND, (new.idempotency_key,))).one_or_none()
    if earlier is not None:
        return _replay(tuple(earlier), new), True
    if exceeded:
        raise await _exceeds(connection, new.payment_id)
    raise PaymentNotCompleted("Send the reversal again.")


def _not_completed(status: str) -> PaymentNotCompleted:
    if status == FAILED:
        return PaymentNotCompleted("The payment failed: there is nothing to reverse.")
    return PaymentNotCompleted(f"The payment is {status}: wait until it is completed.")


async def _exceeds(connection: AsyncConnection, payment_id: UUID) -> ReversalExceedsPayment:
    """Return the error with the amount that can still be reversed."""
    amount, currency = tuple((await connection.exec_driver_sql(REVERSIBLE, (payment_id,))).one())
    if not amount:
        return ReversalExceedsPayment("The payment is already reversed in full.")
    return ReversalExceedsPayment(
        f"Only {amount_text(amount)} {currency} of the payment is not yet reversed:"
        " send at most that."
    )


def _replay(earlier: Sequence[Any], new: NewReversal) -> CreatedReversal:
    """Return the key's earlier reversal if the request is the same. Raises IdempotencyKeyReused."""
    fingerprint, *stored = earlier
    if fingerprint != new.fingerprint():
        raise IdempotencyKeyReused("Use a fresh key for another reversal.")
    return CreatedReversal(*stored)


def _constraint_of(error: IntegrityError) -> str | None:
    cause = getattr(error.orig, "__cause__", None)
    return getattr(cause, "constraint_name", None)
