"""UUIDv7 (RFC 9562), ids that follow the time of creation, and ids in a text."""

import os
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

_MILLISECONDS_MAX = 253_402_300_799_999  # Where datetime ends.


def uuid7() -> UUID:
    """Return a new UUIDv7: 48 bits of milliseconds, then random bits.

    Those of uuid_utils, which keep the order of a batch of payments, count within a millisecond:
    a tenant could count the deliveries between two of its own.
    """
    random = int.from_bytes(os.urandom(10))
    value = (time.time_ns() // 1_000_000) << 80 | random
    return UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)


def first_id_at(moment: datetime, skew: timedelta = timedelta()) -> UUID:
    """Return the smallest UUIDv7 of that moment.

    The skew is added as a number, because datetime ends with the years 1 and 9999.
    """
    milliseconds = int((moment.timestamp() + skew.total_seconds()) * 1000)
    return UUID(int=min(max(milliseconds, 0), 2**48 - 1) << 80)


def moment_of_id(id_: UUID) -> datetime:
    """Return the time in a UUIDv7, to the millisecond; for any other id at most the year 9999."""
    milliseconds = min(id_.int >> 80, _MILLISECONDS_MAX)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def uuid_or_none(text: str) -> UUID | None:
    """Return the UUID that the text spells in its canonical form, in either case, or None."""
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text.lower() else None
