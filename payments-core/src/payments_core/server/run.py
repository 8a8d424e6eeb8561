"""Serve one app in this process, and stop without dropping a request.

What every server shares: the socket, the signals, the bounds. Which one serves is a choice of
`ServeOptions`: docs/decisions/0017-asgi-server.md.
"""

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from quart import Quart

from payments_core.server.limits import Connections

GC_YOUNG_OBJECTS = 20_000  # Before a collection; Python begins with 700.
BACKLOG_CONNECTIONS = 1024
CONNECTIONS_MAX = 2_000
FILES_RESERVED = 100  # Of those that this process may open: for Postgres, logs and the like.
KEEP_ALIVE_SECONDS = 75  # Longer than a load balancer's own, so that it closes first.
# A client that stopped reading is given up by the kernel: a server would wait for it for ever,
# when it writes to it and when it stops.
STALLED_CLIENT_SECONDS_MAX = 10

RefuseUnread = Callable[[bytes], bytes | None]

log = logging.getLogger(__name__)

ServerName = Literal["hypercorn", "uvicorn"]
Stopped = Callable[[], Awaitable[None]]


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
    """Where and by what to listen, and how long stopping may take.

    `delay_seconds`: how long requests are still taken after readiness fails, so that whoever
    routes them here can notice. `drain_seconds`: how long those under way may still take.
    `connections_max`: beyond it the one that is idle longest makes way, or the new one is refused.
    `refuse_unread`: given what a client sent between two requests, the whole answer to it if that
    is a request to be refused without being read.
    `reuse_port`: whether other processes that ask for it too may listen on the same port.
    """

    host: str
    port: int
    drain_seconds: float
    delay_seconds: float = 0.0
    connections_max: int = CONNECTIONS_MAX
    refuse_unread: RefuseUnread | None = None
    server: ServerName = "hypercorn"
    reuse_port: bool = False


class CannotServe(Exception):
    """What the options ask for is not to be had; the message is for whoever set them."""


class CannotListen(CannotServe):
    """The address is taken, or is none of this machine's."""


async def serve(app: Quart, options: ServeOptions, lifecycle: Lifecycle) -> None:
    """Serve until SIGTERM or SIGINT: fail readiness, wait, close the listener, drain.

    Raises CannotServe.
    """
    # Only the one that is asked for is imported.
    if options.server == "uvicorn":
        try:
            from payments_core.server.uvicorn import serve_with_uvicorn as serve_with
        except ModuleNotFoundError as error:
            raise CannotServe(
                f"the server uvicorn needs the package {error.name}:"
                " install payments-core[uvicorn], or serve with hypercorn"
            ) from None
    else:
        from payments_core.server.hypercorn import serve_with_hypercorn as serve_with
    listener = listening_socket(options)
    log.info(
        "serving",
        extra={"host": options.host, "port": options.port, "server": options.server},
    )
    stop_on_signals(lifecycle)

    async def stopped() -> None:
        await lifecycle.stopping.wait()
        await asyncio.sleep(options.delay_seconds)

    connections = Connections(_connections_max(options.connections_max))
    await serve_with(app, listener, connections, options, stopped)


def listening_socket(options: ServeOptions) -> socket.socket:
    """A socket bound to the options' address. Raises CannotListen.

    The connections that it accepts inherit what is set here.
    """
    ipv6 = ":" in options.host
    listener = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if options.reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        user_timeout: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
        if user_timeout is not None:  # On Linux.
            milliseconds = STALLED_CLIENT_SECONDS_MAX * 1000
            listener.setsockopt(socket.IPPROTO_TCP, user_timeout, milliseconds)
        listener.bind((options.host, options.port))
    except OSError as error:
        listener.close()
        host = f"[{options.host}]" if ipv6 else options.host
        reason = error.strerror or str(error)
        raise CannotListen(f"cannot listen on {host}:{options.port}: {reason}") from None
    listener.setblocking(False)
    return listener


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
    except (CannotServe, OSError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
