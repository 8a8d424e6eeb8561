"""Matching of statement lines with ledger entries: statuses, rules and limits, each once."""

from datetime import date, timedelta
from typing import Literal, get_args

# A line is open until it is matched, or set aside with a reason. `returned` is a matched line by
# which the bank sent a payment back: its entry is the reversal's.
SET_ASIDE_STATUSES = ("explained", "ignored")

Rule = Literal["reference", "bank_reference", "batch_sum", "amount_and_date", "manual"]
MATCH_RULES: tuple[Rule, ...] = get_args(Rule)
SCORES: dict[Rule, int] = {
    "reference": 100,
    "bank_reference": 95,
    "batch_sum": 90,
    "amount_and_date": 70,
    "manual": 100,
}

Verdict = Literal["reconciled", "reconciled_with_pending", "breaks", "incomplete"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

BreakClass = Literal["bank_only", "missing_in_bank"]
BREAK_CLASSES: tuple[BreakClass, ...] = get_args(BreakClass)

BreakStatus = Literal["open", "resolved"]
BREAK_STATUSES: tuple[BreakStatus, ...] = get_args(BreakStatus)
MatchStatus = Literal["active", "undone"]
MATCH_STATUSES: tuple[MatchStatus, ...] = get_args(MatchStatus)

# What a person does with a line beside matching it.
Act = Literal["explain", "ignore", "reopen"]

# Ages of breaks in days since the booking: a name and the last day of each.
AGES = (("0-1", 1), ("2-7", 7), ("8-30", 30), (">30", None))
AGE_NAMES = tuple(name for name, _ in AGES)

# Why money differs. Each kind has an account of its own, sys:adjustment:KIND.
AdjustmentKind = Literal["fee", "exchange_difference", "rounding", "write_off", "suspense"]
ADJUSTMENT_KINDS: tuple[AdjustmentKind, ...] = get_args(AdjustmentKind)
ADJUSTMENT_REASON_MAX_CHARS = 500
ADJUSTMENT_ACCOUNT_PREFIX = "sys:adjustment:"

# A person proposes, another one approves or rejects, the worker posts what is approved. It fails if
# the line or an entry was taken meanwhile.
AdjustmentStatus = Literal["proposed", "approved", "rejected", "posted", "failed"]
ADJUSTMENT_STATUSES: tuple[AdjustmentStatus, ...] = get_args(AdjustmentStatus)
OPEN_ADJUSTMENT_STATUSES: tuple[AdjustmentStatus, ...] = ("proposed", "approved")

BreakOrder = Literal["age", "amount"]
BREAK_ORDERS: tuple[BreakOrder, ...] = get_args(BreakOrder)

# The lines of a bridge in their order: the name, what it says, and the count beside it.
BRIDGE_LINES = (
    ("ourBalance", "our balance", None),
    ("pending", "entries pending in the bank", "pending"),
    ("missingInBank", "entries missing in the bank", "missing"),
    ("inTransit", "entries that the bank booked later", "inTransit"),
    ("unmatchedLines", "lines without an entry", "unmatchedLines"),
    ("explainedLines", "lines explained", None),
    ("ignoredLines", "lines ignored", None),
    ("linesAheadOfUs", "lines that we booked later", None),
    ("openingOfBank", "the bank's first opening balance", None),
    ("acceptedDifferences", "differences accepted by operators", None),
    ("closingOfBank", "the bank's balance", None),
    ("residual", "residual", None),
)

LEGS_MAX = 20_000  # Of one match: a chunk's transaction holds it.
HAND_LEGS_MAX = 100  # Of a match by hand.
CANDIDATES_MAX = 5  # Shown for each break.
NOTE_MAX_CHARS = 1000
RULES_MAX_BYTES = 4096


def age_of(days: int) -> str:
    """Return the name of the age of a break that many days old."""
    return next(name for name, last in AGES if last is None or days <= last)


def days_of_age(age: str | None, as_of: date) -> tuple[date, date]:
    """Return the first and the last day of the bookings whose breaks have this age."""
    first = 0
    for name, last in AGES:
        if name == age:
            from_on = date.min if last is None else as_of - timedelta(days=last)
            return from_on, as_of - timedelta(days=first) if first else date.max
        first = 0 if last is None else last + 1
    return date.min, date.max
