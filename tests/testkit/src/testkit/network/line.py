"""A TCP proxy between two parts of the system that tests can cut, stall, delay and reset."""

import asyncio
import random
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field

HOST = "127.0.0.1"
CHUNK_BYTES = 64 * 1024
LINGER_NOT_AT_ALL = struct.pack("ii", 1, 0)  # Closing then sends RST and drops unsent bytes.


def _reset(writer: asyncio.StreamWriter) -> None:
    """End the connection as a crashed peer or a firewall does: RST, no FIN."""
    end: socket.socket = writer.get_extra_info("socket")
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT_AT_ALL)
    writer.transport.abort()


@dataclass(eq=False)
class _Connection:
    near: asyncio.StreamWriter  # Towards the client.
    far: asyncio.StreamWriter  # Towards the target.
    answers_lost: bool = False
    no_more_answers: bool = False

    def reset(self) -> None:
        _reset(self.near)
        _reset(self.far)


@dataclass
class Line:
    """Forwards connections to `port` to `target_port`, both on 127.0.0.1.

    One disturbance at a time; `mend` ends it. Connections that survive a disturbance continue after
    it, as on a real network.
    """

    target_port: int
    port: int = 0
    _server: asyncio.Server | None = None
    _connections: set[_Connection] = field(default_factory=set)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _flowing: asyncio.Event = field(default_factory=asyncio.Event)
    _is_cut: bool = False
    _loses_answers: bool = False
    _delay_seconds: float = 0.0
    _delays_requests: bool = True

    async def open(self) -> None:
        """Listen on a free port."""
        self._flowing.set()
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and end every connection."""
        assert self._server is not None
        self._server.close()
        self.mend()
        self.reset()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        """Return the number of open connections."""
        return len(self._connections)

    def cut(self) -> None:
        """Reset every connection, and every new one when it is opened."""
        self._is_cut = True
        self.reset()

    def stall(self) -> None:
        """Forward nothing and close nothing, as a silent network does, for new connections too."""
        self._flowing.clear()

    def delay(self, seconds: float, *, answers_only: bool = False) -> None:
        """Forward each chunk after a delay, in both directions or from the target only."""
        self._delay_seconds = seconds
        self._delays_requests = not answers_only

    def lose_answers(self) -> None:
        """Forward requests and drop the answers; `mend` resets the affected connections."""
        self._loses_answers = True

    def reset(self, share: float = 1.0, chance: random.Random | None = None) -> None:
        """Reset about this share of the connections; forward new ones."""
        for connection in self._some(share, chance):
            connection.reset()

    def half_close(self, share: float = 1.0, chance: random.Random | None = None) -> None:
        """Send FIN to the clients of some connections; they may continue to send."""
        for connection in self._some(share, chance):
            connection.no_more_answers = True
            with suppress(OSError, RuntimeError):
                connection.near.write_eof()

    def mend(self) -> None:
        """End the disturbance."""
        self._is_cut = self._loses_answers = False
        self._delay_seconds = 0.0
        for connection in list(self._connections):
            if connection.answers_lost:
                connection.reset()
        self._flowing.set()

    def _some(self, share: float, chance: random.Random | None) -> list[_Connection]:
        draw = chance or random.Random(0)
        return [connection for connection in self._connections if draw.random() < share]

    async def _accept(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._is_cut:
            _reset(near)
            return
        try:
            far_reader, far = await asyncio.open_connection(HOST, self.target_port)
        except OSError:
            _reset(near)
            return
        connection = _Connection(near, far)
        if self._is_cut:  # While the connection to the target was opened.
            connection.reset()
            return
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, connection, answers=False))
                both.create_task(self._pass_on(far_reader, connection, answers=True))
        except* OSError:
            connection.reset()
        finally:
            self._connections.discard(connection)
            near.close()
            far.close()

    async def _pass_on(
        self, source: asyncio.StreamReader, connection: _Connection, *, answers: bool
    ) -> None:
        target = connection.near if answers else connection.far
        while data := await source.read(CHUNK_BYTES):
            if self._delay_seconds and (answers or self._delays_requests):
                await asyncio.sleep(self._delay_seconds)
            await self._flowing.wait()
            if answers and self._loses_answers:
                connection.answers_lost = True
            if answers and (connection.answers_lost or connection.no_more_answers):
                continue
            target.write(data)
            await target.drain()
        await self._flowing.wait()
        if not target.is_closing() and not (answers and connection.no_more_answers):
            target.write_eof()
