"""One connection to a receiver: an HTTP/1.1 exchange whose answer is bounded in size."""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

import h11

from payments_core.domain.webhooks import ANSWER_KEPT_CHARS
from payments_core.webhooks.destination import Destination, IPAddress

ANSWER_BYTES_MAX = 64 * 1024  # Head and body; the rest is not read.
HEAD_BYTES_MAX = 16 * 1024
# Interim answers, and parts of the body: in chunks of a byte, 64 KB would block the event loop.
ANSWER_PARTS_MAX = 256
CONNECT_SECONDS_MAX = 4.0  # For one address; the next is tried within the attempt's 10 s.
_READ_BYTES = 16 * 1024
_KEPT_BYTES = 4 * ANSWER_KEPT_CHARS  # UTF-8 takes up to four for a character.


@dataclass(frozen=True, slots=True)
class Answer:
    """A receiver's answer; `text` is the begin of its body."""

    status: int
    text: str
    retry_after: str | None


class ConnectionStale(ConnectionError):
    """The receiver closed a connection that was kept open before it answered."""


class ReceiverConnection:
    """A connection that is opened to one vetted address and speaks for the URL's name."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._exchanges = 0
        self.opened_at = self.idle_since = monotonic()

    @classmethod
    async def open(
        cls, destination: Destination, addresses: Sequence[IPAddress], tls: ssl.SSLContext
    ) -> "ReceiverConnection":
        """Connect to the first of the addresses that accepts. Raises OSError."""
        secure = destination.scheme == "https"
        failed: Exception = OSError("no address")
        for address in addresses:
            try:
                async with asyncio.timeout(CONNECT_SECONDS_MAX):
                    reader, writer = await asyncio.open_connection(
                        str(address),
                        destination.port,
                        ssl=tls if secure else None,
                        server_hostname=destination.host if secure else None,
                        limit=ANSWER_BYTES_MAX,
                    )
            except TimeoutError:
                failed = ConnectionError(f"no connection within {CONNECT_SECONDS_MAX:g} s")
            except OSError as error:
                failed = error
            else:
                return cls(reader, writer)
        raise failed

    @property
    def reusable(self) -> bool:
        """Whether another request can be sent."""
        return self._http.our_state is h11.IDLE and not (
            self._reader.at_eof() or self._writer.is_closing()
        )

    def close(self) -> None:
        """Close it at once: a receiver does not make us wait for its goodbye."""
        self._writer.transport.abort()

    async def post(
        self, destination: Destination, headers: Sequence[tuple[str, str]], body: bytes
    ) -> Answer:
        """Send a request and return its answer. Raises OSError, h11.ProtocolError."""
        first, self._exchanges = self._exchanges == 0, self._exchanges + 1
        request = h11.Request(
            method="POST",
            target=destination.target,
            headers=[
                ("host", destination.authority),
                ("content-length", str(len(body))),
                *headers,
            ],
        )
        parts = (request, h11.Data(data=body), h11.EndOfMessage())
        try:
            self._writer.write(b"".join(self._http.send(part) or b"" for part in parts))
            await self._writer.drain()
            answer = await self._read_answer()
        except ConnectionError as error:
            if first:
                raise
            raise ConnectionStale(ConnectionStale.__doc__) from error
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self.idle_since = monotonic()
        return answer

    async def _read_answer(self) -> Answer:
        head: h11.Response | None = None
        kept, received, parts = b"", 0, 0
        while parts < ANSWER_PARTS_MAX:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if received >= ANSWER_BYTES_MAX:
                    break
                data = await self._reader.read(_READ_BYTES)
                if not data and head is None:
                    raise ConnectionResetError("the receiver closed the connection unanswered")
                received += len(data)
                self._http.receive_data(data)
                continue
            parts += 1
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                kept += bytes(event.data[: _KEPT_BYTES - len(kept)])
            elif not isinstance(event, h11.InformationalResponse):
                break
        if head is None:
            raise h11.RemoteProtocolError("the answer's head is too long")
        named = {name: value for name, value in head.headers if name == b"retry-after"}
        retry_after = named.get(b"retry-after")
        text = kept.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
        return Answer(
            head.status_code,
            text[:ANSWER_KEPT_CHARS],
            None if retry_after is None else retry_after.decode("latin-1"),
        )
