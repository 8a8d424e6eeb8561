"""Hypercorn behind `payments_core.server.run`, with the bounds for which it has no setting.

The one place that relies on Hypercorn's internals: `TCPServer`, which serves a connection, and its
`H11Protocol`, whose h11 connection is replaced by a strict one. Written for Hypercorn 0.18, which
payments-core's pyproject.toml requires; tests/http/test_framing.py and test_slow_clients.py of
payments-api send raw bytes for every promise made here.

HTTP/1.1 alone: HTTP/2 in the clear helps no client of ours, and its floods (rapid reset, many
streams) are then impossible.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, cast

import h11
from hypercorn.asyncio import run as hypercorn_run
from hypercorn.asyncio import serve
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.config import Config, Sockets
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.typing import ASGIFramework
from quart import Quart

from payments_core.server import limits
from payments_core.server.framing import StrictConnection
from payments_core.server.limits import Connections
from payments_core.server.options import ServeOptions

log = logging.getLogger(__name__)


class BoundedConfig(Config):
    """Hypercorn's settings, the bound sockets, and by port the connections open on each."""

    def __init__(self, listeners: Mapping[socket.socket, int], streamed: frozenset[str]) -> None:
        super().__init__()
        self.streamed = streamed
        self._listeners = list(listeners)
        self.connections = {
            listener.getsockname()[1]: Connections(most) for listener, most in listeners.items()
        }

    def create_sockets(self) -> Sockets:
        """Return the sockets, which are already bound."""
        return Sockets([], self._listeners, [])


async def serve_with_hypercorn(
    app: Quart,
    listeners: Mapping[socket.socket, int],
    options: ServeOptions,
    stopped: Callable[[], Awaitable[None]],
) -> None:
    """Serve until `stopped()` returns, then drain.

    `listeners` are bound sockets, and how many connections each may have open.
    """
    config = BoundedConfig(listeners, options.streamed)
    config.backlog = limits.BACKLOG_CONNECTIONS
    config.keep_alive_timeout = limits.KEEP_ALIVE_SECONDS
    config.keep_alive_max_requests = 1_000_000
    config.h11_max_incomplete_size = limits.HEADERS_MAX_BYTES
    # A full queue would block a connection whose request was answered before its body was read.
    # BoundedConnection bounds the bytes instead.
    config.max_app_queue_size = 0
    config.graceful_timeout = options.drain_seconds
    config.include_server_header = False
    config.accesslog = None  # The app writes its own access log.
    # Given a name, Hypercorn would add a handler and log every line twice.
    config.errorlog = logging.getLogger("hypercorn.error")
    # Hypercorn has no setting for the class of its connections.
    cast(Any, hypercorn_run).TCPServer = BoundedConnection
    await serve(cast(ASGIFramework, app), config, shutdown_trigger=stopped)


async def _stay_with_http1(_request: h11.Request) -> None:
    """Switch to no other protocol: StrictConnection has already rejected upgrades."""


class BoundedConnection(TCPServer):
    """One client's connection: HTTP/1.1, strictly framed, with an end to every wait."""

    config: BoundedConfig
    _connections: Connections
    _http: StrictConnection
    _at_eof = False  # The client has closed its side.
    _idle_since: float | None = None  # None while a request is under way.
    _closer: asyncio.TimerHandle | None = None  # Set with the end of the last answer.
    _head_is_next = False  # The next bytes to send begin an answer.
    _head = b""  # Held until the body follows, so that one system call sends both.

    async def run(self) -> None:
        """Serve the connection to its end."""
        port = self.writer.get_extra_info("sockname")[1]
        self._connections = self.config.connections[port]
        if not self._connections.add(self):
            self.writer.write(limits.REFUSAL)
            self.writer.close()
            return
        self._answered = asyncio.Event()
        self._idle_since = self.loop.time()
        try:
            await super().run()
        finally:
            self._connections.remove(self)
            if self._closer is not None:
                self._closer.cancel()

    async def _read_data(self) -> None:
        self._http = StrictConnection(h11.SERVER, self.config.h11_max_incomplete_size)
        http1 = cast(Any, self.protocol.protocol)
        http1.connection = self._http
        http1._check_protocol = _stay_with_http1
        with suppress(OSError):  # Too slow, or disconnected.
            await self._read_requests()
        self._at_eof = True
        await self.protocol.handle(Closed())
        # Hypercorn would keep the connection until this task ends.
        await self.idle_task.stop()

    async def _read_requests(self) -> None:
        deadline: float | None = None
        body_bytes = ignored_bytes = 0
        while not self.reader.at_eof() and ignored_bytes <= limits.LINGER_BYTES_MAX:
            data = await self._read(deadline)
            if self._http.ignores_input:
                ignored_bytes += len(data)
                continue
            await self.protocol.handle(RawData(data))
            if not self._http.has_part_of_a_head:
                deadline = None
            elif deadline is None:
                deadline = self.loop.time() + limits.HEADERS_SECONDS_MAX
            body_bytes = body_bytes + len(data) if self._http.their_state is h11.SEND_BODY else 0
            if body_bytes > limits.BODY_BYTES_MAX:
                await self._until_answered_or_taken()
                body_bytes = 0

    async def _until_answered_or_taken(self) -> None:
        """Wait for the answer, or, on a streamed path, until the app has taken the body so far."""
        http1 = cast(Any, self.protocol.protocol)
        stream = http1.stream
        if stream is None or stream.scope["path"] not in self.config.streamed:
            await self._answered.wait()
            return
        taken: asyncio.Queue[Any] = stream.app_put.__self__
        while not (self._answered.is_set() or taken.empty()):
            with suppress(TimeoutError):
                async with asyncio.timeout(limits.LOOK_SECONDS):
                    await self._answered.wait()

    async def _read(self, deadline: float | None) -> bytes:
        if deadline is None:  # Usual: spares every request a timer.
            return await self.reader.read(limits.READ_BYTES_MAX)
        async with asyncio.timeout_at(deadline):
            return await self.reader.read(limits.READ_BYTES_MAX)

    async def _idle_timeout(self) -> None:
        """Close the connection when idle for too long, or once the server stops.

        One task for its whole life: starting one after each request is expensive.
        """
        most = self.config.keep_alive_timeout
        left = most
        while left > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self.context.terminated.wait()
                if self._idle_since is None:
                    return  # The request under way is the last: the connection ends with it.
                break
            idle_since = self._idle_since
            left = most if idle_since is None else idle_since + most - self.loop.time()
        await asyncio.shield(self._initiate_server_close())

    async def protocol_send(self, event: Event) -> None:
        """Send bytes of the protocol, and track whether a request is under way."""
        if isinstance(event, Updated) and not (event.idle and self._at_eof):
            self._note(idle=event.idle)
        elif isinstance(event, RawData):
            await self._send(event)
        else:
            self._end()

    def _note(self, *, idle: bool) -> None:
        if idle:
            self._answered.set()
            self._idle_since = self.loop.time()
            self._connections.mark_idle(self)
            return
        if self.writer.transport.is_closing():
            # Pipelined before the client disconnected: an answer would reach no one.
            raise ConnectionResetError
        self._answered.clear()
        self._idle_since = None
        self._head_is_next = True
        self._connections.mark_busy(self)

    async def _send(self, event: RawData) -> None:
        if self._head_is_next:
            self._head_is_next = False
            self._head = event.data
            self.loop.call_soon(self._send_head)  # The body may take long, as in a stream.
            return
        data = self._head + event.data
        self._head = b""
        if not data:
            return
        try:
            await super().protocol_send(RawData(data))
        except OSError as error:
            # The kernel dropped a client that acknowledged nothing (TCP_USER_TIMEOUT).
            log.info("client_dropped", extra={"error": error.strerror or type(error).__name__})
            await self.protocol.handle(Closed())

    def _send_head(self) -> None:
        head, self._head = self._head, b""
        if head:
            with suppress(OSError, RuntimeError):  # The client is gone: reading reports it.
                self.writer.write(head)

    def _end(self) -> None:
        """End the stream of answers, and close once the client has, or after a while."""
        if self._closer is not None:
            return
        unread = self._http.their_state is h11.SEND_BODY or self._http.trailing_data[0]
        self._http.ended = True
        self._answered.set()
        self._idle_since = self.loop.time()
        self._connections.mark_idle(self)
        self._send_head()
        with suppress(OSError, RuntimeError):
            self.writer.write_eof()
        lingers = not self._at_eof and (unread or not self.context.terminated.is_set())
        seconds = limits.LINGER_SECONDS_MAX if lingers else 0
        self._closer = self.loop.call_later(seconds, self.writer.close)

    async def _close(self) -> None:
        # A client that the kernel dropped may be reported only here.
        with suppress(OSError):
            await super()._close()

    def evict(self) -> None:
        """Close at once; called only while no request is under way."""
        self.writer.transport.abort()
