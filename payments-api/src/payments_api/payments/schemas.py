"""Schemas of payments: requests and answers."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue

from payments_api.http.schemas import (
    AMOUNT_FLOAT,
    LATER,
    NOW,
    AccountId,
    Amount,
    CurrencyCode,
    Cursor,
    KnownCurrency,
    Metadata,
    PreviousCursor,
    Problem,
    Reference,
    Shape,
    Source,
)
from payments_core.domain.matching import Rule
from payments_core.domain.money import AMOUNT_TEXT_MAX_CHARS, AMOUNT_TEXT_PATTERN
from payments_core.domain.payments import (
    DEFAULT_SOURCE,
    DESCRIPTION_MAX_CHARS,
    IDEMPOTENCY_KEY_MAX_CHARS,
)
from payments_core.domain.statuses import JobStatus, PaymentStatus, ResultStatus

PAYMENT_ID = "01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e3f"
CREATED: dict[str, JsonValue] = {
    "id": PAYMENT_ID,
    "accountId": "acc_42",
    "amount": "100.00",
    "currency": "USD",
    "description": "Invoice 7",
    "reference": "INV-2026-7",
    "metadata": {"order": "7"},
    "source": "default",
    "status": "pending",
    "createdAt": NOW,
}


class PaymentRequest(Shape):
    """A payment to create."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"accountId": "acc_42", "amount": 100, "description": "Invoice 7"}]
        },
    )

    account_id: AccountId
    amount: Annotated[
        Annotated[float, Field(gt=-AMOUNT_FLOAT, lt=AMOUNT_FLOAT)]
        | Annotated[str, Field(pattern=AMOUNT_TEXT_PATTERN, max_length=AMOUNT_TEXT_MAX_CHARS)],
        Field(
            description="A JSON number or a string, parsed as an exact decimal with at most the"
            " currency's decimals. Payments of negative and zero amounts are accepted, and fail in"
            " reconciliation.",
            examples=[100, "100.00"],
        ),
    ]
    currency: KnownCurrency = "USD"
    description: Annotated[str, Field(max_length=DESCRIPTION_MAX_CHARS)] = ""
    # Optional, but not null: pydantic alone would make it either.
    reference: Reference = Field(default=None)  # type: ignore[assignment]  # Never None if given.
    metadata: Metadata = {}  # noqa: RUF012 - pydantic copies it.
    source: Source = DEFAULT_SOURCE


class BatchItem(PaymentRequest):
    """A payment to create, with its idempotency key."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"idempotencyKey": "order-7", "accountId": "acc_42", "amount": "1.50"}]
        },
    )

    idempotency_key: Annotated[
        str, Field(min_length=1, max_length=IDEMPOTENCY_KEY_MAX_CHARS, pattern="^[!-~]+$")
    ]


class BatchRequest(Shape):
    """Payments to create, each independent of the others."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "payments": [
                        {"idempotencyKey": "order-7", "accountId": "acc_42", "amount": "1.50"}
                    ]
                }
            ]
        },
    )

    payments: Annotated[list[BatchItem], Field(min_length=1, max_length=1000)]


class CreatedPayment(Shape):
    """The payment as created; a replay returns the same bytes."""

    model_config = ConfigDict(json_schema_extra={"examples": [CREATED]})

    id: UUID
    account_id: AccountId
    amount: Amount
    currency: CurrencyCode
    description: str
    reference: str | None
    metadata: dict[str, str]
    source: str
    status: Literal["pending"]
    created_at: datetime


class BatchAnswerItem(Shape):
    """The answer that the item would get alone: 201 with a payment, or a status with a problem."""

    status: int
    replayed: bool = False
    payment: CreatedPayment | None = None
    error: Problem | None = None


class BatchAnswer(Shape):
    """One answer for each item, in order."""

    payments: list[BatchAnswerItem]


class Payment(CreatedPayment):
    """A payment with its current status."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **CREATED,
                    "status": "completed",
                    "settledAt": LATER,
                    "discrepancyAmount": None,
                    "reversedAmount": "0.00",
                    "deadLetter": False,
                }
            ]
        }
    )

    status: PaymentStatus  # type: ignore[assignment]  # A wider promise than at creation.
    settled_at: datetime | None
    discrepancy_amount: Amount | None
    reversed_amount: Amount  # Of completed reversals.
    dead_letter: Annotated[
        bool, Field(description="true: its job used up its attempts; an operator decides about it.")
    ]


class PaymentPage(Shape):
    """A page of payments.

    With a filter that no index serves, one request examines a bounded number of payments: a page
    may have fewer payments than `limit`, or none, and still a `nextCursor`. `searchedUntil` is then
    the time of the last payment examined.
    """

    payments: list[Payment]
    next_cursor: Cursor
    previous_cursor: PreviousCursor
    searched_until: datetime | None


class Total(Shape):
    """Number and sum of the payments in one currency, whatever their status."""

    currency: CurrencyCode
    payments: int
    amount: Amount


class PaymentTotals(Shape):
    """Number and sum of a list's payments by currency.

    Not `complete`, and without totals, if the list has more payments than `examinedMax`, or if more
    would have to be examined.
    """

    totals: list[Total]
    examined_max: int
    complete: bool


class LedgerEntry(Shape):
    """One leg of a posting, with its account's balance after it.

    For a tenant's key, numbers that count or sum across tenants are null: every leg's id, and the
    clearing leg's sequence number and balance.
    """

    id: int | None
    account_id: str
    currency: CurrencyCode
    posting_kind: Literal["payment", "reversal", "adjustment"]
    entry_type: Literal["payment", "reversal", "adjustment", "clearing"]
    direction: Literal["credit", "debit"]
    amount: Amount
    account_seq: int | None
    balance_after: Amount | None
    created_at: datetime


class Reconciliation(Shape):
    """The outcome of reconciliation. ruleVersion 0 is an operator's decision."""

    status: ResultStatus
    matched: bool
    discrepancy_amount: Amount | None
    notes: str
    rule_version: int
    created_at: datetime


class JobOfPayment(Shape):
    """The job that reconciles the payment."""

    id: int
    status: JobStatus
    attempts: int
    max_attempts: int
    run_at: datetime
    locked_by: str | None
    locked_at: datetime | None
    last_error: str | None
    created_at: datetime
    updated_at: datetime


class Settlement(Shape):
    """The statement line by which the bank confirms a payment.

    Only the day, the time and the rule are shown to a tenant if the source is not its own.
    """

    booked_on: date
    matched_at: datetime
    rule: Rule
    source: str | None
    statement_file_id: UUID | None
    line_id: str | None
    match_id: str | None


class PaymentDetail(Payment):
    """A payment with its job, reconciliation and ledger entries.

    `ledgerEntries` is null for a key without ledger:read, `job` for one without jobs:admin and for
    a tenant's key.
    """

    model_config = ConfigDict(json_schema_extra={"examples": []})

    idempotency_key: str
    traceparent: str | None
    updated_at: datetime
    job: JobOfPayment | None
    reconciliation: Reconciliation | None
    ledger_entries: list[LedgerEntry] | None
    settlement: Settlement | None
