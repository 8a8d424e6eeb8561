"""Each disturbance of a line has its effect, and the line works again afterwards."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from testkit.network.line import Line

ANSWER_SECONDS_MAX = 10.0
SILENCE_SECONDS = 0.2


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    """Run a line to a server that echoes its input."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1000):
                writer.write(data)
        await closed(writer)

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    line = Line(server.sockets[0].getsockname()[1])
    await line.open()
    yield line
    await line.close()
    server.close()


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


class Caller:
    """One connection through the line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, text: bytes = b"hello") -> bytes:
        """Send the text and return the answer, or "" if the connection has ended."""
        self.writer.write(text)
        await self.writer.drain()
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            return await self.reader.read(1000)


Call = Callable[[], Awaitable[Caller]]


@pytest.fixture
async def call(line: Line) -> AsyncIterator[Call]:
    """Return a function that connects through the line; close all connections at the end."""
    callers = []

    async def connect() -> Caller:
        callers.append(Caller(*await asyncio.open_connection("127.0.0.1", line.port)))
        return callers[-1]

    yield connect
    for caller in callers:
        await closed(caller.writer)


async def test_an_undisturbed_line_forwards_everything(call: Call) -> None:
    caller = await call()
    assert await caller.ask() == b"hello"
    caller.writer.write_eof()
    assert await caller.reader.read() == b""


async def test_a_cut_line_resets_open_and_new_connections(line: Line, call: Call) -> None:
    caller = await call()
    await caller.ask()
    line.cut()
    with pytest.raises(ConnectionResetError):
        await caller.ask()
    with pytest.raises(ConnectionResetError):
        await (await call()).ask()
    line.mend()
    assert await (await call()).ask() == b"hello"


async def test_a_stalled_line_is_silent_and_then_resumes(line: Line, call: Call) -> None:
    caller = await call()
    await caller.ask()
    line.stall()
    waiting = asyncio.create_task(caller.ask(b"later"))
    await asyncio.sleep(SILENCE_SECONDS)
    assert not waiting.done()
    line.mend()
    assert await waiting == b"later"


async def test_a_delay_applies_in_each_direction(line: Line, call: Call) -> None:
    caller = await call()
    line.delay(0.1)
    begun = asyncio.get_running_loop().time()
    assert await caller.ask() == b"hello"
    assert asyncio.get_running_loop().time() - begun >= 0.2


async def test_lost_answers_never_arrive_and_mending_ends_their_connections(
    line: Line, call: Call
) -> None:
    caller = await call()
    line.lose_answers()
    waiting = asyncio.create_task(caller.ask())
    await asyncio.sleep(SILENCE_SECONDS)
    assert not waiting.done()
    line.mend()
    with pytest.raises(ConnectionResetError):
        await waiting


async def test_a_reset_ends_its_share_and_accepts_new_connections(line: Line, call: Call) -> None:
    callers = [await call() for _ in range(20)]
    for caller in callers:
        await caller.ask()
    line.reset(0.5, random.Random(1))
    answers = await asyncio.gather(*(c.ask() for c in callers), return_exceptions=True)
    assert 0 < answers.count(b"hello") < 20
    assert all(a == b"hello" or isinstance(a, ConnectionResetError) for a in answers)
    assert await (await call()).ask() == b"hello"


async def test_a_half_closed_connection_receives_nothing_but_can_send(
    line: Line, call: Call
) -> None:
    caller = await call()
    await caller.ask()
    line.half_close()
    assert await caller.ask(b"into the void") == b""
    caller.writer.write(b"and on")
    await caller.writer.drain()
    assert not caller.writer.is_closing()
