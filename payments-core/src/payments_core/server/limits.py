"""The bounds of client connections."""

from typing import Protocol

BACKLOG_CONNECTIONS = 1024
KEEP_ALIVE_SECONDS = 75  # Longer than a load balancer's own timeout, so that it closes first.
# The kernel drops a client that stopped reading; writing to it, or stopping, would never end.
STALLED_CLIENT_SECONDS_MAX = 10
HEADERS_MAX = 100  # Header lines of one request.
HEADERS_MAX_BYTES = 16 * 1024  # Request target and all headers together.
HEADERS_SECONDS_MAX = 10  # From a request's first byte to the end of its headers.
READ_BYTES_MAX = 16 * 1024  # Parsed in one turn of the event loop.
# Body bytes that may arrive before the answer: twice the longest body a service accepts.
BODY_BYTES_MAX = 2 * 1024 * 1024
# Between two looks at whether the app has taken more of a streamed body.
LOOK_SECONDS = 0.01
# After its last answer a connection is read, and the bytes discarded, until the client closes it:
# closing a socket that holds unread bytes resets it, and the reset can overtake the answer.
LINGER_SECONDS_MAX = 2
LINGER_BYTES_MAX = 16 * 1024 * 1024
CONTROL_CONNECTIONS_MAX = 64
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: 0\r\n\r\n"
)


class Connection(Protocol):
    """One client's connection."""

    def evict(self) -> None:
        """Close at once; called only while no request is under way."""


class Connections:
    """The open connections of one process; a full set evicts the one idle longest."""

    def __init__(self, most: int) -> None:
        self._most = most
        # Oldest first.
        self._idle: dict[Connection, None] = {}
        self._busy: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._idle) + len(self._busy)

    def add(self, connection: Connection) -> bool:
        """Add a new connection; False if the set is full of busy ones."""
        if len(self) >= self._most:
            oldest = next(iter(self._idle), None)
            if oldest is None:
                return False
            del self._idle[oldest]
            oldest.evict()
        self._idle[connection] = None
        return True

    def mark_idle(self, connection: Connection) -> None:
        """Note that the connection waits for a request, or for its client to close it."""
        self._busy.discard(connection)
        self._idle[connection] = None

    def mark_busy(self, connection: Connection) -> None:
        """Note that a request is under way on the connection."""
        self._idle.pop(connection, None)
        self._busy.add(connection)

    def remove(self, connection: Connection) -> None:
        """Forget the connection."""
        self._idle.pop(connection, None)
        self._busy.discard(connection)
