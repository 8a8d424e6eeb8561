"""Reversals and their jobs, stored directly as the API stores them."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import uuid_utils.compat as uuid_utils

from payments_core.domain.money import exact_amount
from payments_core.domain.payments import NO_METADATA
from payments_core.domain.reversals import NewReversal
from testkit.database.backlog import Stored
from testkit.database.sql import Sql

ADD = """
WITH added AS (
    INSERT INTO reversals (id, idempotency_key, request_fingerprint, payment_id, account_id,
                           currency, source, amount, reason)
    SELECT $1, $2, $3, id, account_id, currency, source, $4, $5 FROM payments WHERE id = $6
    RETURNING id
)
INSERT INTO recon_jobs (reversal_id) SELECT id FROM added"""


@dataclass(frozen=True, slots=True)
class StoredReversal:
    """A stored reversal of a payment."""

    id: UUID
    payment_id: UUID
    amount: Decimal


async def add_reversal(sql: Sql, payment: Stored, amount: str | Decimal) -> UUID:
    """Store a pending reversal of a completed payment, and its job; return its id."""
    reversal_id = uuid_utils.uuid7()
    exact = exact_amount(Decimal(amount), payment.currency)
    new = NewReversal(f"key-{reversal_id}", payment.id, exact, "r", None, NO_METADATA)
    values = (new.idempotency_key, new.fingerprint(), exact, new.reason, payment.id)
    await sql.execute(ADD, reversal_id, *values)
    return reversal_id
