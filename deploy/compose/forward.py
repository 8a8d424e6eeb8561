"""Forward a port to a service's replicas, one connection to each in turn.

    python forward.py PORT HOST

Workers can be scaled, but a host's port belongs to a single container. This container holds the
port, and the engine's DNS returns the replicas in turn.
"""

import asyncio
import contextlib
import signal
import sys

CONNECT_SECONDS_MAX = 3
CHUNK_BYTES = 65536


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()


async def forward(
    host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Forward one connection in both directions; close it if the target is unreachable."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            there_reader, there_writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        print(f"forward: {host}:{port} cannot be reached: {error}", file=sys.stderr)
        writer.close()
        return
    await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))
    there_writer.close()
    writer.close()


async def serve(port: int, host: str) -> None:
    """Listen on every address of the container until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.start_server(lambda r, w: forward(host, port, r, w), None, port)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
