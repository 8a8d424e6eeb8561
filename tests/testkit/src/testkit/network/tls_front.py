"""TLS in front of a Postgres built without it, like the proxy of a hosted database."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

SSL_REQUEST = bytes.fromhex(
    "00000008 04d2162f"
)  # The protocol's first message, where TLS is asked.


@asynccontextmanager
async def tls_front(database_url: str, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Yield its port on 127.0.0.1: TLS towards clients, plain towards the database."""
    to = urlsplit(database_url)
    tasks: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        assert this is not None
        tasks.add(this)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                if await reader.readexactly(len(SSL_REQUEST)) != SSL_REQUEST:
                    return  # Reject plain connections.
                writer.write(b"S")
                await writer.start_tls(context)
                there_reader, there = await asyncio.open_connection(to.hostname, to.port)
                await asyncio.gather(_copy(reader, there), _copy(there_reader, writer))
        finally:
            tasks.discard(this)
            writer.close()

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()
