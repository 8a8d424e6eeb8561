"""One client's connection under Hypercorn, with the bounds for which Hypercorn has no setting.

HTTP/1.1 alone: HTTP/2 in the clear is of no use to any client of ours, and its floods (rapid
reset, many streams) are not then possible. Its classes are extended, not its settings: the tests
send raw bytes, so that another release of it cannot change what is promised unnoticed.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import h11
from hypercorn.asyncio import run as hypercorn_run
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from payments_core.server import limits as bounds

if TYPE_CHECKING:
    from payments_core.server.hypercorn import BoundedConfig

log = logging.getLogger(__name__)


class BoundedConnection(TCPServer):
    """Hypercorn's, that does not wait for ever, nor for HTTP/2."""

    config: "BoundedConfig"
    _ended = False  # Nothing more will be read.
    _idle_since: float | None = None  # None while a request is under way.

    async def run(self) -> None:
        """Serve the connection to its end."""
        connections = self.config.connections
        if not connections.enter(self):
            self.writer.write(bounds.REFUSAL)
            self.writer.close()
            return
        try:
            await self._serve()
        except OSError:
            pass  # Whoever was there is gone.
        finally:
            connections.leave(self)
            # A client that the kernel gave up is told of here too, or only here.
            with suppress(OSError):
                await self._close()

    async def _serve(self) -> None:
        socket = self.writer.get_extra_info("socket")
        async with TaskGroup(self.loop) as tasks:
            self._task_group = tasks
            protocol = _Http1(
                self.app,
                self.config,
                self.context,
                tasks,
                ConnectionState(self.state),
                False,
                parse_socket_addr(socket.family, socket.getpeername()),
                parse_socket_addr(socket.family, socket.getsockname()),
                self.protocol_send,
            )
            self.protocol = cast(ProtocolWrapper, protocol)
            # What came before it is read first, before anything else can come.
            self._door = _Door(self.writer.transport, self._refusal_of)
            self._idle_since = self.loop.time()
            await self.idle_task.restart(tasks, self._idle_timeout)
            await self._read_requests(protocol)
            # Or it would keep what is left of the connection until it is over.
            await self.idle_task.stop()

    async def _read_requests(self, protocol: "_Http1") -> None:
        deadline: float | None = None
        try:
            while not self.reader.at_eof():
                if deadline is None:
                    data = await self.reader.read(MAX_RECV)
                else:
                    async with asyncio.timeout_at(deadline):
                        data = await self.reader.read(MAX_RECV)
                self._door.all_read = len(data) < MAX_RECV
                # The door has not seen what came with the connection itself.
                refusal = None if self._door.let_in else self._refusal_of(data)
                if refusal is not None:
                    await self.protocol_send(RawData(refusal))
                    continue
                await protocol.handle(RawData(data))
                if not protocol.has_part_of_a_request:
                    deadline = None
                elif deadline is None:
                    deadline = self.loop.time() + bounds.HEADERS_SECONDS_MAX
        except OSError:
            pass  # Too slow, or gone.
        self._ended = True
        await protocol.handle(Closed())

    def _refusal_of(self, data: bytes) -> bytes | None:
        refuse = self.config.refuse_unread
        if refuse is None or not cast(_Http1, self.protocol).is_between_requests:
            return None
        refusal = refuse(data)
        if refusal is not None:
            self._idle_since = self.loop.time()
            self.config.connections.heard(self)
        return refusal

    async def _idle_timeout(self) -> None:
        """End the connection when it was idle for too long, or is while the server stops.

        One task for its whole life: to start one after each request costs more than a refusal.
        """
        most = self.config.keep_alive_timeout
        left = most
        while left > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self.context.terminated.wait()
                if self._idle_since is None:
                    return  # The request under way is its last: it ends with that.
                break
            idle_since = self._idle_since
            left = most if idle_since is None else idle_since + most - self.loop.time()
        await asyncio.shield(self._initiate_server_close())

    async def protocol_send(self, event: Event) -> None:
        """Send what the protocol made, and note whether a request is under way."""
        if isinstance(event, Updated):
            if not event.idle and self.writer.transport.is_closing():
                raise ConnectionResetError  # Nobody is left to answer what came before that.
            if not (event.idle and self._ended):
                self.config.connections.now(self, idle=event.idle)
                self._idle_since = self.loop.time() if event.idle else None
                return
            event = Closed()  # Its last request is over, and no other can come.
        try:
            await super().protocol_send(event)
        except OSError as error:
            # The kernel gave up a client that took nothing (TCP_USER_TIMEOUT).
            log.info("client_given_up", extra={"error": error.strerror or type(error).__name__})
            await self.protocol.handle(Closed())

    def make_way(self) -> None:
        """End at once; only for a connection without a request under way."""
        self.writer.transport.abort()


class _Door(asyncio.Protocol):
    """Between a connection and its stream: refuses where the bytes arrive.

    No task wakes up for what is answered here; all else goes to the stream.
    """

    def __init__(
        self, transport: asyncio.WriteTransport, refusal_of: Callable[[bytes], bytes | None]
    ) -> None:
        self._transport = transport
        self._refusal_of = refusal_of
        self._stream = cast(asyncio.Protocol, transport.get_protocol())
        self._writable = True
        # Whether the stream holds nothing, so that what comes now is next.
        self.all_read = True
        self.let_in = False  # Whether the stream got anything from here.
        transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """Answer it, if that is all there is to it."""
        # Who takes no answers is left to the stream, whose reader waits until they are taken.
        if self.all_read and self._writable:
            refusal = self._refusal_of(data)
            if refusal is not None:
                self._transport.write(refusal)
                return
        self.all_read, self.let_in = False, True
        self._stream.data_received(data)

    def eof_received(self) -> bool | None:
        """The client has closed its side."""
        return self._stream.eof_received()

    def pause_writing(self) -> None:
        """The client takes its answers too slowly."""
        self._writable = False
        self._stream.pause_writing()

    def resume_writing(self) -> None:
        """It has taken them."""
        self._writable = True
        self._stream.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._stream.connection_lost(exc)


class _Http1(H11Protocol):
    """HTTP/1.1 and nothing else, with a bounded number of headers."""

    @property
    def has_part_of_a_request(self) -> bool:
        """Whether a request has begun to come whose headers have not ended yet."""
        connection = self.connection
        return (
            isinstance(connection, h11.Connection)
            and connection.their_state is h11.IDLE
            and bool(connection.trailing_data[0])
        )

    @property
    def is_between_requests(self) -> bool:
        """Whether the next byte begins a request."""
        connection = self.connection
        return (
            isinstance(connection, h11.Connection)
            and connection.our_state is h11.IDLE
            and connection.their_state is h11.IDLE
            and not connection.trailing_data[0]
        )

    async def _check_protocol(self, event: h11.Request) -> None:
        """Stay with HTTP/1.1, whatever is asked for."""

    async def _create_stream(self, request: h11.Request) -> None:
        wrong = 0
        if request.http_version not in (b"1.1", b"1.0"):
            wrong = 505
        elif (
            len(request.headers) > bounds.HEADERS_MAX
            or _header_bytes(request) > bounds.HEADERS_MAX_BYTES
        ):
            wrong = 431
        if not wrong:
            await super()._create_stream(request)
            return
        await self._send_error_response(wrong)
        await self.send(Closed())


def _header_bytes(request: h11.Request) -> int:
    return len(request.target) + sum(len(name) + len(value) for name, value in request.headers)


def use_bounded_connections() -> None:
    """Let Hypercorn make connections of ours; it has no setting for that either."""
    cast(Any, hypercorn_run).TCPServer = BoundedConnection
