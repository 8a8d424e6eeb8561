"""Serve one app in this process with Hypercorn, and stop without dropping a request."""

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config, Sockets
from hypercorn.typing import ASGIFramework
from quart import Quart

from payments_core.hypercorn_connection import (
    HEADERS_MAX_BYTES,
    Connections,
    use_bounded_connections,
)

GC_YOUNG_OBJECTS = 20_000  # Before a collection; Python begins with 700.
BACKLOG_CONNECTIONS = 1024
CONNECTIONS_MAX = 2_000
FILES_RESERVED = 100  # Of those that this process may open: for Postgres, logs and the like.
KEEP_ALIVE_SECONDS = 75  # Longer than a load balancer's own, so that it closes first.
# A client that stopped reading is given up by the kernel: Hypercorn would wait for it for ever,
# when it writes to it and when it stops.
STALLED_CLIENT_SECONDS_MAX = 10

RefuseUnread = Callable[[bytes], bytes | None]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Lifecycle:
    """Where the process stands. `stopping` is set first; readiness fails from then on."""

    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def draining(self) -> bool:
        """Whether this process has been asked to stop."""
        return self.stopping.is_set()


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Where to listen, and how long stopping may take.

    `delay_seconds`: how long requests are still taken after readiness fails, so that whoever
    routes them here can notice. `drain_seconds`: how long those under way may still take.
    `connections_max`: beyond it the one that is idle longest makes way, or the new one is refused.
    `refuse_unread`: given what a client sent between two requests, the whole answer to it if that
    is a request to be refused without being read.
    """

    host: str
    port: int
    drain_seconds: float
    delay_seconds: float = 0.0
    connections_max: int = CONNECTIONS_MAX
    refuse_unread: RefuseUnread | None = None


class CannotListen(Exception):
    """The address is taken, or is none of this machine's."""


class BoundedConfig(Config):
    """Hypercorn's settings, and the connections that are open under them."""

    connections: Connections
    refuse_unread: RefuseUnread | None

    def create_sockets(self) -> Sockets:
        try:
            sockets = super().create_sockets()
        except OSError as error:
            reason = error.strerror or str(error)
            raise CannotListen(f"cannot listen on {self.bind[0]}: {reason}") from None
        option: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None:  # On Linux.
            for listener in sockets.insecure_sockets:
                # The connections that it accepts inherit the option.
                listener.setsockopt(socket.IPPROTO_TCP, option, STALLED_CLIENT_SECONDS_MAX * 1000)
        return sockets


async def serve(app: Quart, options: ServeOptions, lifecycle: Lifecycle) -> None:
    """Serve until SIGTERM or SIGINT: fail readiness, wait, close the listener, drain."""
    config = BoundedConfig()
    config.connections = Connections(_connections_max(options.connections_max))
    config.refuse_unread = options.refuse_unread
    use_bounded_connections()
    # An IPv6 address needs brackets; Hypercorn binds "host:port".
    host = f"[{options.host}]" if ":" in options.host else options.host
    config.bind = [f"{host}:{options.port}"]
    config.backlog = BACKLOG_CONNECTIONS
    config.keep_alive_timeout = KEEP_ALIVE_SECONDS
    config.keep_alive_max_requests = 1_000_000
    config.h11_max_incomplete_size = HEADERS_MAX_BYTES
    config.graceful_timeout = options.drain_seconds
    config.include_server_header = False
    config.accesslog = None  # The app writes its own.
    # Given by name, Hypercorn would put a handler of its own on it: every line twice.
    config.errorlog = logging.getLogger("hypercorn.error")
    log.info("serving", extra={"host": options.host, "port": options.port})
    stop_on_signals(lifecycle)

    async def stopped() -> None:
        await lifecycle.stopping.wait()
        await asyncio.sleep(options.delay_seconds)

    await hypercorn_serve(cast(ASGIFramework, app), config, shutdown_trigger=stopped)


def _connections_max(wanted: int) -> int:
    """As many as the system lets this process have, if that is fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + FILES_RESERVED
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft - FILES_RESERVED))


def stop_on_signals(lifecycle: Lifecycle) -> None:
    """Let SIGTERM and SIGINT ask this process to stop, instead of ending it."""
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, lifecycle.stopping.set)


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run the service on uvloop where there is one; a taken port ends it with one line."""
    try:
        import uvloop
    except ImportError:  # Not made for this platform.
        factory = None
    else:
        factory = uvloop.new_event_loop

    async def body() -> None:
        # What was imported stays for good: the collector need not walk it again and again, nor
        # stop everything after every few hundred objects that a request makes.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_YOUNG_OBJECTS, 20, 20)
        await main()

    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(body())
    except (CannotListen, OSError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
