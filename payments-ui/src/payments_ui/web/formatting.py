"""How amounts, times and names read on the page."""

import re
from datetime import UTC, datetime

from markupsafe import Markup, escape

_AMOUNT = re.compile(r"\A(-?)([0-9]{1,40})(\.[0-9]+)?\Z")  # int() refuses 4,301 digits.
_TRACEPARENT = re.compile(r"\A[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}\Z")
MINUS = "\N{MINUS SIGN}"


def money(amount: str | None) -> str:
    """ "-1234567.80" as "−1,234,567.80"; anything unexpected as it came."""
    found = _AMOUNT.match(amount or "")
    if not found:
        return amount or ""
    sign, whole, decimals = found.groups()
    return f"{MINUS if sign else ''}{int(whole):,}{decimals or ''}"


def now_text() -> str:
    """Return the current time as the API writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def parse_time(value: str) -> datetime | None:
    """A time of the API as UTC, or None where it is none."""
    try:
        at = datetime.fromisoformat(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # The year 1 in Tokyo was none in UTC.
        return None


def time_tag(value: str | None, style: str = "short") -> Markup:
    """A `<time>`: UTC as sent, the reader's own zone once the script has run.

    style: short (clock, and the date where it is not today), full, clock or ago.
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
    """ "0.4 s", "12 s", "3 min 5 s", "2 h 10 min"; a dash for none."""
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


def elapsed(start: str | None, end: str | None) -> str:
    """How long it took from one time of the API to another: "184 ms", "3.2 s"."""
    first, last = parse_time(start or ""), parse_time(end or "")
    if first is None or last is None:
        return ""
    seconds = (last - first).total_seconds()
    return f"{max(0, round(seconds * 1000))} ms" if seconds < 1 else duration(seconds)


def short_id(identifier: str) -> str:
    """The end of a UUIDv7, the part that tells neighbours apart."""
    return identifier[-8:]


def trace_id(traceparent: str | None) -> str | None:
    """The trace's id in a W3C traceparent, or None."""
    found = _TRACEPARENT.match(traceparent or "")
    return found.group(1) if found else None


def outcome(payment: dict[str, str | None]) -> str:
    """pending, completed, discrepancy or failed: what a badge says of a payment."""
    status = payment.get("status") or "pending"
    return "discrepancy" if status == "completed" and payment.get("discrepancyAmount") else status
