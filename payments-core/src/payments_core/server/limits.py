"""The bounds of client connections, whichever server serves them, and how many there may be."""

from typing import Protocol

HEADERS_MAX = 100  # Lines of one request.
HEADERS_MAX_BYTES = 16 * 1024  # Of its address and all headers.
HEADERS_SECONDS_MAX = 10  # From a request's first byte to the end of its headers.
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: 0\r\n\r\n"
)


class Connection(Protocol):
    """One client's connection, as a server has it."""

    def make_way(self) -> None:
        """End at once; only for a connection without a request under way."""


class Connections:
    """Those of one listener. Beyond the most there may be, the one longest idle makes way."""

    def __init__(self, most: int) -> None:
        self._most = most
        # In the order in which they fell idle.
        self._idle: dict[Connection, None] = {}
        self._busy: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._idle) + len(self._busy)

    def enter(self, connection: Connection) -> bool:
        """Take a new connection in; False where all that there may be are at work."""
        if len(self) >= self._most:
            oldest = next(iter(self._idle), None)
            if oldest is None:
                return False
            del self._idle[oldest]
            oldest.make_way()
        self._idle[connection] = None
        return True

    def now(self, connection: Connection, *, idle: bool) -> None:
        """Note whether it waits for a request, or has one under way."""
        if idle:
            self._busy.discard(connection)
            self._idle[connection] = None
        else:
            self._idle.pop(connection, None)
            self._busy.add(connection)

    def heard(self, connection: Connection) -> None:
        """Note that one that waits for a request was answered: it is idle anew."""
        if connection in self._idle:
            del self._idle[connection]
            self._idle[connection] = None

    def leave(self, connection: Connection) -> None:
        """Forget it."""
        self._idle.pop(connection, None)
        self._busy.discard(connection)
