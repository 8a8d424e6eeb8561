"""Hypercorn behind `payments_core.server.run`: the default, all of it Python."""

import logging
import socket
from typing import cast

from hypercorn.asyncio import serve
from hypercorn.config import Config, Sockets
from hypercorn.typing import ASGIFramework
from quart import Quart

from payments_core.server.hypercorn_connection import use_bounded_connections
from payments_core.server.limits import HEADERS_MAX_BYTES, Connections
from payments_core.server.run import (
    BACKLOG_CONNECTIONS,
    KEEP_ALIVE_SECONDS,
    RefuseUnread,
    ServeOptions,
    Stopped,
)


class BoundedConfig(Config):
    """Hypercorn's settings, the socket to listen on, and the connections open under them."""

    refuse_unread: RefuseUnread | None

    def __init__(self, listener: socket.socket, connections: Connections) -> None:
        super().__init__()
        self._listener = listener
        self.connections = connections

    def create_sockets(self) -> Sockets:
        """The one that is bound already."""
        return Sockets([], [self._listener], [])


async def serve_with_hypercorn(
    app: Quart,
    listener: socket.socket,
    connections: Connections,
    options: ServeOptions,
    stopped: Stopped,
) -> None:
    """Serve on the bound listener until `stopped()` returns, then drain."""
    config = BoundedConfig(listener, connections)
    config.refuse_unread = options.refuse_unread
    use_bounded_connections()
    config.backlog = BACKLOG_CONNECTIONS
    config.keep_alive_timeout = KEEP_ALIVE_SECONDS
    config.keep_alive_max_requests = 1_000_000
    config.h11_max_incomplete_size = HEADERS_MAX_BYTES
    config.graceful_timeout = options.drain_seconds
    config.include_server_header = False
    config.accesslog = None  # The app writes its own.
    # Given by name, Hypercorn would put a handler of its own on it: every line twice.
    config.errorlog = logging.getLogger("hypercorn.error")
    await serve(cast(ASGIFramework, app), config, shutdown_trigger=stopped)
