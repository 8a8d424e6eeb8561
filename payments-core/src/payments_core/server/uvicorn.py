"""uvicorn behind `payments_core.server.run`: HTTP/1.1, parsed by httptools."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from quart import Quart
from uvicorn import Config, Server

from payments_core.server.limits import Connections
from payments_core.server.run import BACKLOG_CONNECTIONS, KEEP_ALIVE_SECONDS, ServeOptions, Stopped
from payments_core.server.uvicorn_protocol import BoundedConfig, BoundedHttp

CUT_SECONDS_MAX = 1  # How long the app may take to notice that its clients were cut off.


class _Server(Server):
    def __init__(self, config: Config, drain_seconds: float) -> None:
        super().__init__(config)
        self._drain_seconds = drain_seconds

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave SIGTERM and SIGINT to `stop_on_signals`."""
        yield

    async def _wait_tasks_to_complete(self) -> None:
        # Its own bound would answer what is left with a bare 500 and log a traceback for each.
        try:
            async with asyncio.timeout(self._drain_seconds):
                await super()._wait_tasks_to_complete()
        except TimeoutError:
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            if self.server_state.tasks:
                await asyncio.wait(self.server_state.tasks, timeout=CUT_SECONDS_MAX)


async def serve_with_uvicorn(
    app: Quart,
    listener: socket.socket,
    connections: Connections,
    options: ServeOptions,
    stopped: Stopped,
) -> None:
    """Serve on the bound listener until `stopped()` returns, then drain."""
    config = BoundedConfig(
        connections,
        cast(Any, app),
        http=BoundedHttp,
        ws="none",
        lifespan="on",
        backlog=BACKLOG_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        proxy_headers=False,  # Whom to believe is the app's to decide.
        server_header=False,
        log_config=None,
        access_log=False,  # The app writes its own.
    )
    config.refuse_unread = options.refuse_unread
    server = _Server(config, options.drain_seconds)

    async def stop() -> None:
        await stopped()
        server.should_exit = True

    stopping = asyncio.create_task(stop())
    try:
        await server.serve(sockets=[listener])
    finally:
        stopping.cancel()
