"""Streamed uploads: bodies of any size in constant memory, read as fast as they are stored."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable
from quart import Request

WAITING_BYTES_MAX = 1024 * 1024  # Received and not yet taken by the handler.
SILENCE_SECONDS_MAX = 30.0  # Between two pieces of the body.
UPLOAD_SECONDS_MAX = 3600.0  # For a whole body.
PACE = "payments.pace"  # In the ASGI scope of an upload.


class Pace:
    """Holds the body back until the handler has read the part that arrived.

    Quart reads a body as fast as it arrives, and keeps the unread part in memory.
    """

    def __init__(self, receive: ASGIReceiveCallable) -> None:
        self._receive = receive
        self._waiting_bytes = 0
        self._room = asyncio.Event()
        self._room.set()

    async def receive(self) -> Any:
        """Return the next message, once there is room for it."""
        await self._room.wait()
        message = cast(dict[str, Any], await self._receive())
        self._waiting_bytes += len(message.get("body", b""))
        if self._waiting_bytes >= WAITING_BYTES_MAX:
            self._room.clear()
        return message

    def taken(self, size: int) -> None:
        """Make room for as many bytes."""
        self._waiting_bytes -= size
        if self._waiting_bytes < WAITING_BYTES_MAX:
            self._room.set()


class PacedUploads:
    """The ASGI layer that gives each POST to `path` its pace."""

    def __init__(self, inner: Any, path: str) -> None:
        self._inner = inner
        self._path = path

    async def __call__(
        self, scope: Any, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Pass the request on."""
        if scope["type"] == "http" and is_upload(scope, self._path):
            pace = scope[PACE] = Pace(receive)
            receive = pace.receive
        await self._inner(scope, receive, send)


def is_upload(scope: Any, path: str) -> bool:
    """Return whether the request is an upload to the path."""
    return bool(scope["method"] == "POST" and scope["path"] == path)


class StreamingRequest(Request):
    """A request whose body has the app's limit, unless it is an upload, which counts its own."""

    def __init__(self, *args: Any, **options: Any) -> None:
        if PACE in (options.get("scope") or {}):
            options["max_content_length"] = None
        super().__init__(*args, **options)

    @property
    def is_upload(self) -> bool:
        """Whether the body is streamed."""
        return PACE in cast(dict[str, Any], self.scope)


async def streamed_body(request: Request) -> AsyncIterator[bytes]:
    """Yield the body of an upload as it arrives. Raises TimeoutError."""
    pace: Pace = cast(dict[str, Any], request.scope)[PACE]
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + UPLOAD_SECONDS_MAX
    pieces = aiter(request.body)
    while True:
        async with asyncio.timeout_at(min(loop.time() + SILENCE_SECONDS_MAX, ends_at)):
            piece = await anext(pieces, None)
        if piece is None:
            return
        pace.taken(len(piece))
        yield piece
