"""Server-sent events are parsed correctly for every split into chunks."""

import pytest

from payments_ui.live.sse import LINE_MAX_BYTES, Event, EventReader, StreamTooLong, encode_event

STREAM = (
    b"retry: 1000\n: connected\n\n"
    b'id: a-1\nevent: payment\ndata: {"id": 1}\n\n'
    b": still here\n\n"
    b"id: a-2\r\nevent: resync\r\ndata: {}\r\n\r\n"
    b"data: two\ndata: lines\n\n"
)
EVENTS = [
    Event("payment", '{"id": 1}', "a-1"),
    Event("resync", "{}", "a-2"),
    Event("message", "two\nlines", "a-2"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_events_are_parsed_equally_however_they_are_split(size: int) -> None:
    reader = EventReader()
    pieces = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    assert [event for piece in pieces for event in reader.feed(piece)] == EVENTS
    assert reader.last_event_id == "a-2"


def test_an_endless_line_is_rejected() -> None:
    reader = EventReader()
    with pytest.raises(StreamTooLong):
        list(reader.feed(b"data: " + b"x" * (LINE_MAX_BYTES + 1)))


def test_an_endless_event_is_rejected() -> None:
    reader = EventReader()
    with pytest.raises(StreamTooLong):
        list(reader.feed((b"data: " + b"x" * 999 + b"\n") * 1100))


def test_written_events_are_parsed_unchanged() -> None:
    wire = encode_event("payments", "<tr>\n</tr>", "e.7")
    assert list(EventReader().feed(wire)) == [Event("payments", "<tr>\n</tr>", "e.7")]


def test_data_cannot_inject_another_event() -> None:
    wire = encode_event("payments", "a\n\nevent: state\ndata: live")
    assert [event.name for event in EventReader().feed(wire)] == ["payments"]
