"""Hypercorn: answers as clients receive them."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from quart import Quart

from payments_core.server.hypercorn import serve_with_hypercorn
from payments_core.server.options import ServeOptions
from payments_core.server.run import listening_socket
from testkit.waiting import WAIT_SECONDS_MAX


@asynccontextmanager
async def _served(app: Any) -> AsyncIterator[socket.socket]:
    options = ServeOptions("127.0.0.1", 0, 1)
    stop = asyncio.Event()
    listener = listening_socket(options)
    listener.listen()  # Connections wait until the server accepts them.

    async def stopped() -> None:
        await stop.wait()

    serving = asyncio.create_task(
        serve_with_hypercorn(cast(Quart, app), {listener: 10}, options, stopped)
    )
    try:
        yield listener
    finally:
        stop.set()
        await serving


@pytest.mark.parametrize("chunks", [[b"later"], [b"la", b"ter"], [b""]])
async def test_an_answers_headers_are_sent_before_its_body_exists(chunks: list[bytes]) -> None:
    body_due = asyncio.Event()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await body_due.wait()
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async with asyncio.timeout(WAIT_SECONDS_MAX), _served(answer) as listener:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        body_due.set()
        assert await reader.read() == b"".join(chunks)
        writer.close()
        await writer.wait_closed()
