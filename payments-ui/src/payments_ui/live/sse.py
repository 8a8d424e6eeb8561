"""Server-sent events, both ways: read from payments-api, written to browsers."""

from collections.abc import Iterator
from dataclasses import dataclass

LINE_MAX_BYTES = 1 << 20  # An upstream that never ends a line must not fill the memory.


class StreamTooLong(Exception):
    """The event stream holds a line or event of more than a megabyte."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event as received. id is the last one given on the stream so far."""

    name: str
    data: str
    id: str | None


class EventReader:
    """Turns chunks of bytes into events; comments are only signs of life."""

    def __init__(self, last_event_id: str | None = None) -> None:
        """Start at the beginning of a stream; `last_event_id` as of the one before it."""
        self.last_event_id = last_event_id
        self._rest = b""
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that this chunk completes. Raises StreamTooLong."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > LINE_MAX_BYTES:
            raise StreamTooLong
        for raw in lines:
            line = raw.removesuffix(b"\r").decode("utf-8", "replace")
            if line:
                self._take(line)
            else:
                if self._data:
                    yield Event(self._name or "message", "\n".join(self._data), self.last_event_id)
                self._name, self._data, self._size = "", [], 0

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._size += len(value)
            if self._size > LINE_MAX_BYTES:
                raise StreamTooLong
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif name == "id" and "\0" not in value:
            self.last_event_id = value


def encode_event(name: str, data: str, event_id: str | None = None) -> bytes:
    """One event as it goes over the wire; each line of the data gets its own field."""
    lines = [f"id: {event_id}"] if event_id is not None else []
    lines.append(f"event: {name}")
    lines.extend(f"data: {line}" for line in data.splitlines() or [""])
    return ("\n".join(lines) + "\n\n").encode()
