"""uvicorn's HTTP/1.1 with the bounds that it has none of: headers, their time, connections.

llhttp parses whatever comes, for as long as it comes. uvicorn's class is extended, not its
settings: the tests send raw bytes, the same as to Hypercorn.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from payments_core.server import limits as bounds
from payments_core.server.limits import Connections
from payments_core.server.run import RefuseUnread

# How long the rest of a body is read, and thrown away, after its request was answered: a close
# while it comes would take the answer with it.
LINGER_SECONDS_MAX = 2

log = logging.getLogger(__name__)


class BoundedConfig(Config):
    """uvicorn's settings, and the connections that are open under them."""

    refuse_unread: RefuseUnread | None = None

    def __init__(self, connections: Connections, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.connections = connections


class _Refused(Exception):
    """A request that the app does not get to see, and the answer instead."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


class BoundedHttp(HttpToolsProtocol):
    """One connection. The callbacks `on_...` are the parser's."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        ours = cast(BoundedConfig, self.config)
        self._all, self._refuse_unread = ours.connections, ours.refuse_unread
        self._in_message = self._in_headers = False
        # Bytes that were neither body nor the end of something: an unfinished header, trailers.
        self._pending_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._refusal: HTTPStatus | None = None
        self._refused_unread_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """One more, if there is room."""
        super().connection_made(transport)
        if not self._all.enter(self):
            transport.write(bounds.REFUSAL)
            transport.close()
            return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing runs on after it."""
        self._all.leave(self)
        if isinstance(exc, TimeoutError):
            # By the kernel (TCP_USER_TIMEOUT).
            log.info("client_given_up", extra={"error": exc.strerror or type(exc).__name__})
        self._forget_deadline()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and see whether the client keeps within its bounds."""
        if self._refused_unread(data):
            return
        self._unset_keepalive_if_required()
        if self._refusal is not None:
            return  # What follows a broken request means nothing.
        self._pending_bytes += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            refused = error.__context__
            self._refuse(
                refused.status if isinstance(refused, _Refused) else HTTPStatus.BAD_REQUEST
            )
            return
        if self._pending_bytes > bounds.HEADERS_MAX_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            self._watch()

    def _refused_unread(self, data: bytes) -> bool:
        """Answer it without the parser, if that is all there is to it."""
        if self._refuse_unread is None or self._in_message or self._refusal is not None:
            return False
        # Who takes no answers is left to the app, which waits until they are taken.
        if self.flow.write_paused or not self._answered():
            return False
        answer = self._refuse_unread(data)
        if answer is None:
            return False
        self.transport.write(answer)
        # The timer is not set anew each time: that costs as much as all the rest.
        self._refused_unread_at = self.loop.time()
        self._all.heard(self)
        return True

    def timeout_keep_alive_handler(self) -> None:
        """End the connection, unless it was refused something since the timer was set."""
        left = self._refused_unread_at + self.timeout_keep_alive - self.loop.time()
        if left <= 0:
            super().timeout_keep_alive_handler()
            return
        self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # Answered in HTTP/1.1, as a server may; the parser stopped after that request.
                data = data[upgrade.args[0] :]

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._in_message = self._in_headers = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The request goes to the app, unless it goes too far."""
        if self.parser.get_http_version() not in ("1.1", "1.0"):
            raise _Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        length = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if len(self.headers) > bounds.HEADERS_MAX or length > bounds.HEADERS_MAX_BYTES:
            raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if self.parser.should_upgrade() and self._get_upgrade() == b"websocket":
            # An answer in plain HTTP would not be understood.
            raise _Refused(HTTPStatus.BAD_REQUEST)
        super().on_headers_complete()
        self._all.now(self, idle=False)
        self.headers = []  # The app has them; trailers, which come later, are none of them.
        self._in_headers = False
        self._pending_bytes = 0

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        self._pending_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        self._in_message = False
        self._pending_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The app has answered: the next request's turn, or the refusal that had to wait."""
        last = not self.pipeline
        super().on_response_complete()
        if self._refusal is None:
            if last:
                self._all.now(self, idle=True)
            self._watch()
        elif last:
            self._write_refusal(self._refusal)

    def _answered(self) -> bool:
        # Before the first request there is no cycle.
        return bool(getattr(self.cycle, "response_complete", True))

    def _watch(self) -> None:
        """Keep the clock that belongs to what the client owes, if anything."""
        answered = self._answered()
        if self._in_headers or (self._in_message and answered):
            if self._deadline is None:
                seconds = bounds.HEADERS_SECONDS_MAX if self._in_headers else LINGER_SECONDS_MAX
                self._deadline = self.loop.call_later(seconds, self.transport.close)
            return
        self._forget_deadline()
        if answered and self.timeout_keep_alive_task is None:
            # A new connection, or empty lines between requests.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def make_way(self) -> None:
        """End at once; only for a connection without a request under way."""
        self.transport.abort()

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer by ourselves, after all earlier requests were answered, and close."""
        self._forget_deadline()
        self._refusal = status
        if self._in_headers:
            if self._answered():
                self._write_refusal(status)
        elif self.pipeline:
            self.pipeline.popleft()  # It broke before its turn came: the app never sees it.
        elif self.cycle.response_started:
            self.transport.close()
        else:
            self.cycle.disconnected = True  # Its answer would come after ours.
            self._write_refusal(status)

    def _write_refusal(self, status: HTTPStatus) -> None:
        """As bare as Hypercorn's."""
        line = (
            f"HTTP/1.1 {status} {status.phrase}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
        if not self.transport.is_closing():
            self.transport.write(line.encode())
            self.transport.close()
