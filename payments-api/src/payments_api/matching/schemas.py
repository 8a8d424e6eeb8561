"""Schemas of matching: reports, runs, breaks, lines, entries and matches."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from payments_api.auth.item_ids import ITEM_ID_PATTERN
from payments_api.http.schemas import Amount, CurrencyCode, Cursor, PreviousCursor, Shape
from payments_api.matching.queries import LEGS_SHOWN_MAX
from payments_api.statements.schemas import StatementLine
from payments_core.domain.matching import (
    BreakClass,
    Rule,
    Verdict,
)

ItemId = Annotated[str, Field(pattern=ITEM_ID_PATTERN)]
Side = Literal["line", "entry"]


class BridgeLines(Shape):
    """From our balance to the bank's: all but the last two sum to `closingOfBank`."""

    opening_of_bank: Amount
    our_balance: Amount
    pending: Amount
    missing_in_bank: Amount
    in_transit: Amount
    unmatched_lines: Amount
    explained_lines: Amount
    ignored_lines: Amount
    lines_ahead_of_us: Amount
    accepted_differences: Amount
    closing_of_bank: Amount
    residual: Amount


class BridgeCounts(Shape):
    """The numbers of entries and lines in the bridge."""

    pending: int
    missing: int
    in_transit: int
    unmatched_lines: int
    late_lines: int
    set_aside: int


class ReconciliationReport(Shape):
    """The reconciliation of a source's day. `asOf` tells pending entries from missing ones."""

    source: str
    currency: CurrencyCode
    on: date
    as_of: date
    verdict: Verdict
    incomplete_because: str | None
    bridge: BridgeLines
    counts: BridgeCounts


class RunCounts(Shape):
    """What a run matched, and what it left open."""

    matches_by_rule: dict[Rule, int]
    matched_lines: int
    matched_entries: int
    open_lines: int
    suggested_lines: int
    open_entries: int
    breaks: int


class Run(Shape):
    """A run of a source's matching; one that has not finished has no outcome."""

    id: ItemId
    as_of: date
    rule_set: int
    input_hash: str
    output_hash: str | None
    verdict: Verdict | None
    verdict_on: date | None
    residual: Amount | None
    counts: RunCounts | None
    started_at: datetime
    finished_at: datetime | None
    undone_at: datetime | None
    undone_by: str | None
    undone_reason: str | None


class RunPage(Shape):
    """A page of a source's runs, newest first."""

    runs: list[Run]
    next_cursor: Cursor
    previous_cursor: PreviousCursor


class Candidate(Shape):
    """An open entry or line that might match: of the same reference, else of the same amount."""

    id: ItemId
    amount: Amount
    reference: str | None
    booked_on: date


class ProposedReversal(Shape):
    """The reversal of the payment that a line returns. Create it with this amount and reference.

    Its entry then matches the line. Null unless the line is a debit that names one completed
    payment with enough left to reverse, and no reversal waits for such a line yet.
    """

    payment_id: UUID
    amount: Amount
    reference: str


class Break(Shape):
    """An open line or entry past its days of grace, with why no rule matched it.

    A resolved break has neither candidates nor the fields of its item.
    """

    id: ItemId
    class_: Annotated[BreakClass, Field(alias="class")]
    side: Side
    item_id: ItemId
    amount: Amount
    currency: CurrencyCode
    reference: str | None
    counterparty: str | None
    remittance: str | None
    payment_id: UUID | None
    booked_on: date
    break_on: date
    age_days: int
    age: str
    assignee: str | None
    note: str | None
    why_not: str | None
    candidates: list[Candidate]
    proposed_reversal: ProposedReversal | None
    resolved_at: datetime | None
    resolved_by: str | None


class BreakPage(Shape):
    """A page of a source's breaks; a short page of resolved breaks may not be the last."""

    breaks: list[Break]
    next_cursor: Cursor
    previous_cursor: PreviousCursor


class SourceLine(StatementLine):
    """A line with the file that it came with."""

    statement_file_id: UUID


class SourceLinePage(Shape):
    """A page of a source's open lines, in the order of their import."""

    lines: list[SourceLine]
    next_cursor: Cursor
    previous_cursor: PreviousCursor


class LineDetail(SourceLine):
    """A line with its match or, while it is open, its candidates and why no rule matched it."""

    match_id: ItemId | None
    why_not: str | None
    candidates: list[Candidate]
    proposed_reversal: ProposedReversal | None


class MatchedEntry(Shape):
    """A clearing entry of a match; money in is positive.

    It belongs to a payment or an adjustment.
    """

    id: ItemId
    payment_id: UUID | None
    adjustment_id: UUID | None
    amount: Amount
    currency: CurrencyCode
    booked_on: date


class OpenEntry(MatchedEntry):
    """A clearing entry in no match; it is missing in the bank after `breakOn`."""

    reference: str
    break_on: date


class OpenEntryPage(Shape):
    """A page of a source's open entries, the first due first."""

    entries: list[OpenEntry]
    next_cursor: Cursor
    previous_cursor: PreviousCursor


class ListedMatch(Shape):
    """A match by a rule or a person; its lines and its entries sum to the amount."""

    id: ItemId
    run_id: ItemId | None
    rule: Rule
    score: int
    why: str
    actor: str | None
    created_at: datetime
    undone_at: datetime | None
    undone_by: str | None
    undone_reason: str | None
    amount: Amount


class MatchPage(Shape):
    """A page of a source's matches, newest first; a short page may not be the last."""

    matches: list[ListedMatch]
    next_cursor: Cursor
    previous_cursor: PreviousCursor


class Match(ListedMatch):
    """A match with the first of its lines and entries."""

    line_count: int
    entry_count: int
    lines: Annotated[list[SourceLine], Field(max_length=LEGS_SHOWN_MAX)]
    entries: Annotated[list[MatchedEntry], Field(max_length=LEGS_SHOWN_MAX)]
