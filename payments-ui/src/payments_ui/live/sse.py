"""Server-sent events: a reader of the API's stream, an encoder for browsers."""

from collections.abc import Iterator
from dataclasses import dataclass

LINE_MAX_BYTES = 1 << 20  # Bounds memory if the stream never ends a line.


class StreamTooLong(Exception):
    """The event stream holds a line or event of more than a megabyte."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event; id is the latest on the stream."""

    name: str
    data: str
    id: str | None


class EventReader:
    """Turns chunks of bytes into events; ignores comments."""

    def __init__(self, last_event_id: str | None = None) -> None:
        """Start a stream; `last_event_id` is that of the previous one."""
        self.last_event_id = last_event_id
        self._rest = b""
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that the chunk completes. Raises StreamTooLong."""
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
    """Return the event's bytes; each line of data is a field of its own."""
    lines = [f"id: {event_id}"] if event_id is not None else []
    lines.append(f"event: {name}")
    lines.extend(f"data: {line}" for line in data.splitlines() or [""])
    return ("\n".join(lines) + "\n\n").encode()
