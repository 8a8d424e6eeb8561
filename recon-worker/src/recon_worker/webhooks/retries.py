"""When a failed delivery is attempted again: seconds at first, hours at last."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

BACKOFF_SECONDS_BASE = 5.0
BACKOFF_SECONDS_MAX = 6 * 3600.0  # A dozen attempts in the first half day, then four a day.
RETRY_AFTER_SECONDS_MAX = 3600.0
RETRY_AFTER_STATUSES = (429, 503)


def delay_seconds(attempts: int, fraction: Callable[[], float] = random.random) -> float:
    """Return the delay after so many attempts, with full jitter: 0 to min(6 h, 5 s x 2^(n-1)).

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    exponent = min(max(attempts - 1, 0), 30)
    return fraction() * min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS_BASE * 2.0**exponent)


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
