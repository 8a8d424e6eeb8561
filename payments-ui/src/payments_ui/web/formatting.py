"""Amounts, times and ids as the page shows them."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, cast

from markupsafe import Markup, escape

from payments_core.domain.statuses import COMPLETED, PENDING, OperatorAction

_AMOUNT = re.compile(r"\A(-?)([0-9]{1,40})(\.[0-9]+)?\Z")  # int() rejects 4,301 digits.
# Controls and separators except tab and line feed; marks, embeddings, overrides and isolates of the
# direction; and characters of no width, except the joiners that emoji and Persian need.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2028\u2029\u2060-\u2069\ufeff]"
)
ATTENTION = "attention"  # The badge of a payment whose job is a dead letter.
ID_TIME_CHARS, ID_END_CHARS = 13, 4  # Parts of a UUIDv7: its milliseconds, and 16 random bits.
MINUS = "\N{MINUS SIGN}"


def money(amount: str | None) -> str:
    """Turn "-1234567.80" into "−1,234,567.80"; return anything else unchanged."""
    matched = _AMOUNT.match(amount or "")
    if not matched:
        return amount or ""
    sign, whole, decimals = matched.groups()
    return f"{MINUS if sign else ''}{int(whole):,}{decimals or ''}"


def parse_time(value: str) -> datetime | None:
    """Parse a time of the API into UTC; return None if the text is not a time."""
    try:
        at = datetime.fromisoformat(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # Year 1 in Tokyo is year 0 in UTC.
        return None


def time_tag(value: str | None, style: str = "short") -> Markup:
    """Return a `<time>` in UTC; a script shows it in local time.

    style: short (the date only if it is not today), full, clock or ago.
    """
    at = parse_time(value) if value else None
    if at is None:
        return Markup("–") if not value else escape(value)
    exact = f"{at:%Y-%m-%d %H:%M:%S.%f} UTC"
    text = f"{at:%H:%M:%S} UTC" if style == "clock" else f"{at:%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" data-style="{}" title="{}">{}</time>').format(
        at.isoformat().replace("+00:00", "Z"), style, exact, text
    )


def duration(seconds: float | None) -> str:
    """Return "0.4 s", "12 s", "3 min 5 s", "2 h 10 min"; a dash for None."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def age(value: str) -> str:
    """Return the time since a time of the API, in one unit: "40 s", "13 min", "5 h"."""
    at = parse_time(value)
    if at is None:
        return "–"
    seconds = max(0, int((datetime.now(UTC) - at).total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 3600 else f"{seconds // 3600} h"


def capitalize_first(text: str) -> str:
    """Return the text as the begin of a sentence; the rest keeps its letters."""
    return text[:1].upper() + text[1:]


def foreign(text: str) -> Markup:
    """Return a text of a bank, a client or an operator, which cannot reorder the text around it.

    Characters that only steer, such as U+202E, are shown by their code.
    """
    shown = _STEERING.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)
    return Markup("<bdi>{}</bdi>").format(shown)


def day_text(value: str | None) -> str:
    """Turn "2026-11-28" into "28 Nov 2026"; return anything else unchanged."""
    try:
        day = date.fromisoformat(value or "")
    except ValueError:
        return value or "–"
    return f"{day.day} {day:%b %Y}"


def elapsed(start: str | None, end: str | None) -> str:
    """Return the time between two times of the API: "184 ms", "3.2 s"."""
    first, last = parse_time(start or ""), parse_time(end or "")
    if first is None or last is None:
        return ""
    seconds = (last - first).total_seconds()
    return f"{max(0, round(seconds * 1000))} ms" if seconds < 1 else duration(seconds)


def short_id(identifier: str) -> str:
    """Shorten a UUIDv7 to its time, which an index finds, and its end, which differs by payment.

    The search accepts this short form.
    """
    return f"{identifier[:ID_TIME_CHARS]}…{identifier[-ID_END_CHARS:]}"


def status_text(status: str) -> str:
    """Turn a status into words: "completed_with_discrepancy" into "Completed with discrepancy"."""
    if status == ATTENTION:
        return "Needs attention"
    return status.replace("_", " ").capitalize()


def outcome(payment: Mapping[str, Any]) -> str:
    """Return the badge of a payment: its status, discrepancy or attention."""
    if payment.get("deadLetter"):
        return ATTENTION
    status = payment.get("status") or PENDING
    return "discrepancy" if status == COMPLETED and payment.get("discrepancyAmount") else status


_DONE: Mapping[OperatorAction, str] = {
    "create": "Created",
    "reverse": "Reversed",
    "replay": "Replayed",
    "discard": "Discarded",
    "create_key": "Created",
    "rotate_key": "Rotated",
    "revoke_key": "Revoked",
    "add_source": "Added",
    "receive_statement": "Received",
    "accept_statement": "Accepted",
    "reject_statement": "Rejected",
    "match": "Made",
    "undo_match": "Undid",
    "undo_run": "Undid",
    "explain": "Explained",
    "ignore": "Ignored",
    "reopen": "Reopened",
    "annotate": "Annotated",
    "propose_adjustment": "Proposed",
    "approve_adjustment": "Approved",
    "reject_adjustment": "Rejected",
    "create_webhook": "Created",
    "change_webhook": "Changed",
    "rotate_webhook": "Rotated the secret of",
    "delete_webhook": "Deleted",
    "disable_webhook": "Disabled",
    "test_webhook": "Tested",
    "resend_webhook": "Sent again to",
}


def done(action: str) -> str:
    """Return the verb that precedes the object of an operator's action: Received, Undid."""
    # An API of a newer release may report an action that this page does not know.
    return _DONE.get(cast("OperatorAction", action), action.replace("_", " ").capitalize())
