"""When a failed delivery is attempted again: seconds at first, hours at last."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from payments_core.queue.jobs import backoff_seconds

BACKOFF_SECONDS_BASE = 5.0
BACKOFF_SECONDS_MAX = 6 * 3600.0  # A dozen attempts in the first half day, then four a day.
RETRY_AFTER_SECONDS_MAX = 3600.0
RETRY_AFTER_STATUSES = (429, 503)


def delay_seconds(attempts: int) -> float:
    """Return the delay after so many attempts, with full jitter."""
    return backoff_seconds(attempts, BACKOFF_SECONDS_BASE, BACKOFF_SECONDS_MAX)


def retry_after_seconds(status: int, header: str | None, now: datetime) -> float:
    """Return how long an answer asks us to wait, at most an hour; 0 if it does not ask.

    The header holds seconds or an HTTP date (RFC 9110, section 10.2.3).
    """
    if status not in RETRY_AFTER_STATUSES or header is None:
        return 0.0
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), RETRY_AFTER_SECONDS_MAX)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    seconds = (at - now).total_seconds()
    return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)
