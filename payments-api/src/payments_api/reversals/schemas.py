"""Schemas of reversals."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue

from payments_api.http.schemas import (
    LATER,
    NOW,
    Amount,
    CurrencyCode,
    Cursor,
    Metadata,
    PositiveAmount,
    PreviousCursor,
    Reference,
    Shape,
)
from payments_api.payments.schemas import PAYMENT_ID, LedgerEntry
from payments_core.domain.reversals import REVERSAL_REASON_MAX_CHARS
from payments_core.domain.statuses import PaymentStatus

CREATED: dict[str, JsonValue] = {
    "id": "01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e40",
    "paymentId": PAYMENT_ID,
    "accountId": "acc_42",
    "amount": "30.00",
    "currency": "USD",
    "reason": "Returned goods",
    "reference": None,
    "metadata": {},
    "status": "pending",
    "createdAt": NOW,
}


class ReversalRequest(Shape):
    """A reversal to create: of an amount, or of the payment's remainder."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"amount": "30.00", "reason": "Returned goods"}]},
    )

    # Optional, but not null.
    amount: PositiveAmount = Field(default=None)  # type: ignore[assignment]  # Never None if given.
    reason: Annotated[str, Field(min_length=1, max_length=REVERSAL_REASON_MAX_CHARS, pattern=r"\S")]
    reference: Reference = Field(default=None)  # type: ignore[assignment]  # Never None if given.
    metadata: Metadata = {}  # noqa: RUF012 - pydantic copies it.


class CreatedReversal(Shape):
    """The reversal as created; a replay returns the same bytes."""

    model_config = ConfigDict(json_schema_extra={"examples": [CREATED]})

    id: UUID
    payment_id: UUID
    account_id: str
    amount: Amount
    currency: CurrencyCode
    reason: str
    reference: str | None
    metadata: dict[str, str]
    status: Literal["pending"]
    created_at: datetime


class Reversal(CreatedReversal):
    """A reversal with its current status; `ledgerEntries` is null for a key without ledger:read."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **CREATED,
                    "status": "completed",
                    "settledAt": LATER,
                    "idempotencyKey": "return-1",
                    "notes": "Reversed",
                    "ledgerEntries": None,
                }
            ]
        }
    )

    status: PaymentStatus  # type: ignore[assignment]  # A wider promise than at creation.
    settled_at: datetime | None
    idempotency_key: str
    notes: str | None
    ledger_entries: list[LedgerEntry] | None


class ReversalPage(Shape):
    """A page of a payment's reversals, newest first."""

    reversals: list[Reversal]
    next_cursor: Cursor
    previous_cursor: PreviousCursor
