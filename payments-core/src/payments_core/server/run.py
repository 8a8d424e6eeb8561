"""Serve one app in this process, and stop without dropping a request: sockets, signals, exit."""

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace

from quart import Quart

from payments_core.server.hypercorn import serve_with_hypercorn
from payments_core.server.limits import CONTROL_CONNECTIONS_MAX, STALLED_CLIENT_SECONDS_MAX
from payments_core.server.options import (
    BackgroundTaskFailed,
    CannotListen,
    CannotServe,
    Lifecycle,
    ServeOptions,
)

FILES_RESERVED = 100  # Of the files that this process may open: for Postgres, logs and the like.

log = logging.getLogger(__name__)


async def serve(
    app: Quart,
    options: ServeOptions,
    lifecycle: Lifecycle,
    working: "asyncio.Task[None] | None" = None,
) -> None:
    """Serve until SIGTERM or SIGINT: fail readiness, wait, close the listener, drain.

    `working` drains at the same signals; probes are answered until it has. Raises CannotServe, and
    BackgroundTaskFailed after a stop that a background task caused.
    """
    listeners = {listening_socket(options): _connections_max(options.connections_max)}
    if options.control_port is not None:
        control = replace(options, port=options.control_port)
        listeners[listening_socket(control)] = CONTROL_CONNECTIONS_MAX
    log.info("server_started", extra={"host": options.host, "port": options.port})
    stop_on_signals(lifecycle)

    async def stopped() -> None:
        await lifecycle.stopping.wait()
        await asyncio.sleep(options.delay_seconds)
        if working is not None:
            await asyncio.wait({working})

    await serve_with_hypercorn(app, listeners, options, stopped)
    if lifecycle.failure is not None:
        raise BackgroundTaskFailed(f"the background task {lifecycle.failure} ended: see the log")


def listening_socket(options: ServeOptions) -> socket.socket:
    """Return a socket bound to the options' address. Raises CannotListen.

    The connections that it accepts inherit its options.
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
    """Return `wanted`, or fewer if the system lets this process open fewer files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + FILES_RESERVED
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft - FILES_RESERVED))


def stop_on_signals(lifecycle: Lifecycle) -> None:
    """Make SIGTERM and SIGINT stop the service in order, instead of ending the process."""
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, lifecycle.stopping.set)


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a service on uvloop where available.

    Exit with status 1 and one line if it cannot serve, or if a background task ended.
    """
    try:
        import uvloop
    except ImportError:  # Not available for this platform.
        factory = None
    else:
        factory = uvloop.new_event_loop

    async def body() -> None:
        # Imported objects live as long as the process: the collector need not traverse them again.
        gc.collect()
        gc.freeze()
        await main()

    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(body())
    except (CannotServe, BackgroundTaskFailed, OSError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    except Exception:
        traceback.print_exc()
        raise SystemExit(1) from None
