"""A receiver of webhooks on this machine, whose answers a test chooses."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic

from standardwebhooks.webhooks import Webhook

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    """Return an HTTP/1.1 answer."""
    lines = (f"HTTP/1.1 {status} -", f"content-length: {len(body)}", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True, slots=True)
class Received:
    """A request, and the number of its connection."""

    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    at: float = field(default_factory=monotonic)

    @property
    def event_id(self) -> str:
        """The header webhook-id."""
        return self.headers["webhook-id"]


Behaviour = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


async def accept(request: Received, writer: asyncio.StreamWriter) -> None:
    """Answer 200."""
    writer.write(OK)


def always(raw: bytes) -> Behaviour:
    """Return a behaviour that sends these bytes."""

    async def send(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    return send


async def hang(request: Received, writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


@dataclass
class Receiver:
    """The received requests, and the answers to the next ones, for a path or for all."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    behave: Behaviour = accept
    by_path: dict[str, Behaviour] = field(default_factory=dict)
    connections: int = 0
    scheme: str = "http"
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def rise(self, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> None:
        """Listen on `port`, or on a free one if it is 0."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            with suppress(asyncio.CancelledError):  # It dies.
                await self._serve(reader, writer)
            self._tasks.discard(task)

        self._server = await asyncio.start_server(serve, address, self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def die(self) -> None:
        """Refuse connections and cut those that are open, until it rises again."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, path: str = "/") -> str:
        """Return a URL of the receiver."""
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Received]:
        """Return the requests to a path, in the order in which they arrived."""
        return [one for one in self.received if one.path == path]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                line, *fields = head.strip().split("\r\n")
                pairs = (one.partition(": ") for one in fields)
                headers = {name.lower(): value for name, _, value in pairs}
                body = await reader.readexactly(int(headers["content-length"]))
                request = Received(line.split()[1], headers, body, number)
                self.received.append(request)
                await self.by_path.get(request.path, self.behave)(request, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def running_receiver(
    tls: ssl.SSLContext | None = None, address: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Receiver]:
    """Run a receiver while the block runs, on a free port unless one is given."""
    receiver = Receiver(port, scheme="http" if tls is None else "https")
    await receiver.rise(tls, address)
    try:
        yield receiver
    finally:
        await receiver.die()


def assert_signed(request: Received, *secrets: str) -> None:
    """Check a request with each of the secrets by the verifier of Standard Webhooks itself."""
    for secret in secrets:
        Webhook(secret).verify(request.body, request.headers)
