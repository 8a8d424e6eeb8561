"""Schemas of statements: sources, files, statements, lines."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from payments_api.http.schemas import Amount, CurrencyCode, Cursor, PreviousCursor, Shape
from payments_api.operations.requests import DiscardRequest, Request
from payments_core.domain import statements as words
from payments_core.domain.money import CURRENCY_PATTERN
from payments_core.domain.payments import SOURCE_PATTERN

IBAN = "DE89370400440532013000"


class SourceRequest(Request):
    """A new source. `channel` is the source of the payments that its account receives."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "bank-eur", "accountIdentifier": IBAN, "currency": "EUR"}]
        }
    )

    name: Annotated[str, Field(pattern=SOURCE_PATTERN)]
    account_identifier: Annotated[
        str, Field(min_length=1, max_length=words.ACCOUNT_IDENTIFIER_MAX_CHARS)
    ]
    currency: Annotated[str, Field(pattern=CURRENCY_PATTERN)]
    format: words.SourceFormat = "auto"
    profile: dict[str, Any] | None = None
    channel: Annotated[str, Field(pattern=SOURCE_PATTERN)] = "default"
    time_zone: Annotated[str, Field(max_length=words.TIME_ZONE_MAX_CHARS)] = "UTC"
    grace_days: Annotated[int, Field(ge=0, le=words.GRACE_DAYS_MAX)] = 2


class AcceptRequest(DiscardRequest):
    """The operator and the reason to record for a quarantined file that is imported."""


class RejectRequest(DiscardRequest):
    """The operator and the reason to record for the rejection of a quarantined file."""


class Source(Shape):
    """An account at a bank or provider whose statements are imported."""

    name: str
    account_identifier: str
    currency: CurrencyCode
    format: words.SourceFormat
    profile: dict[str, Any] | None
    channel: str
    time_zone: str
    grace_days: int
    created_at: datetime


class SourcePage(Shape):
    """A page of sources, newest first."""

    sources: list[Source]
    next_cursor: Cursor
    previous_cursor: PreviousCursor


class StatementFile(Shape):
    """A received file. A quarantined one names the problem and its place."""

    id: UUID
    source: str
    file_name: str | None
    size_bytes: int
    sha256: str
    status: words.FileStatus
    format: str | None
    encoding: str | None
    problem_code: words.Problem | None
    problem: str | None
    problem_at: str | None
    actor: str
    accepted_by: str | None
    accept_reason: str | None
    created_at: datetime
    decided_at: datetime | None


class StatementFilePage(Shape):
    """A page of received files, newest first."""

    statements: list[StatementFile]
    next_cursor: Cursor
    previous_cursor: PreviousCursor


class BankStatement(Shape):
    """A statement in a file. `knownCount` of its lines came with an earlier statement."""

    number: int
    kind: words.StatementKind
    bank_id: str | None
    sequence: str | None
    from_on: date
    to_on: date
    opening: Amount | None
    closing: Amount | None
    net: Amount
    entry_count: int
    line_count: int
    known_count: int


class StatementFileDetail(StatementFile):
    """A received file with its statements."""

    statements: list[BankStatement]


class StatementLine(Shape):
    """A movement of the account; a credit is positive. Parts of a batch have a `partNo` from 1."""

    id: str
    statement: int
    line_no: int
    part_no: int
    amount: Amount
    currency: CurrencyCode
    booked_on: date
    valued_on: date | None
    end_to_end: str | None
    bank_ref: str | None
    batch_ref: str | None
    code: str | None
    reversal: bool
    return_reason: str | None
    counterparty: str | None
    remittance: str | None
    charges: Amount | None
    original_amount: Amount | None
    original_currency: str | None
    booking: words.Booking
    status: words.LineStatus
    status_reason: str | None


class StatementLinePage(Shape):
    """A page of a file's new lines, in its order."""

    lines: list[StatementLine]
    next_cursor: Cursor
    previous_cursor: PreviousCursor
