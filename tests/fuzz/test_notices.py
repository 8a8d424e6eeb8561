"""Notifications: any role can send any payload; the feed parses it or asks for a resync."""

from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from payments_api.events.feed import EventFeed
from payments_api.events.reader import ReaderLimits
from testkit.fuzz.exploring import explored

# The payloads that Postgres accepts: no NUL, no lone surrogate, less than 8,000 bytes.
PAYLOADS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=1_900
) | st.lists(
    st.uuids().map(str) | st.sampled_from(["*", "{}", "-" * 36, "0" * 32, "urn:uuid:", "٠" * 32]),
    max_size=200,
).map(" ".join)


@explored(PAYLOADS)
def test_any_notice_names_payments_or_asks_for_a_resync(payload: str) -> None:
    engine: Any = None  # Reading a notice needs no database.
    feed = EventFeed(engine, "postgresql://nowhere/payments", ReaderLimits(1, 1, 1))
    feed._notice(payload)
    assert all(isinstance(changed, UUID) for changed in feed._changed)
    assert not (feed._resync and feed._changed)
    assert feed._resync or len(feed._changed) <= len(payload.split())
