"""LISTEN on a dedicated connection, which reconnects and reports a lost connection."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import asyncpg

from payments_core.db.engine import connect_to_primary, server_settings
from payments_core.db.sessions import refuse_read_only
from payments_core.db.url import CONNECT_TIMEOUT_SECONDS

HEARTBEAT_SECONDS = 10.0  # Finds a half-open connection, and a server that was demoted.
RECONNECT_SECONDS_MIN = 0.1
RECONNECT_SECONDS_MAX = 5.0

_LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

log = logging.getLogger(__name__)


async def listen(
    dsn: str,
    channel: str,
    on_payload: Callable[[str], None],
    on_connected: Callable[[], None],
    application_name: str,
    on_lost: Callable[[], None] = lambda: None,
) -> None:
    """Call `on_payload` for each notification until cancelled; reconnect on failure.

    `on_connected` is called after every (re)connection: earlier notifications were missed, so the
    listener must read the state. `on_lost` is called when a connection is lost.
    """
    pause = RECONNECT_SECONDS_MIN
    while True:
        try:
            connection = await connect_to_primary(
                dsn,
                server_settings=server_settings(application_name),
            )
        except _LOST as error:
            log.warning("listen_failed", extra={"channel": channel, "error": str(error)})
        else:
            connected_at = time.monotonic()
            try:
                await _follow(connection, channel, on_payload, on_connected)
            except _LOST as error:
                log.warning("listen_lost", extra={"channel": channel, "error": str(error)})
            finally:
                connection.terminate()
            on_lost()
            # Do not retry at once on a server that accepts connections and rejects LISTEN.
            if time.monotonic() - connected_at > HEARTBEAT_SECONDS:
                pause = RECONNECT_SECONDS_MIN
        await asyncio.sleep(pause)
        pause = min(pause * 2, RECONNECT_SECONDS_MAX)


async def _follow(
    connection: "asyncpg.Connection[Any]",
    channel: str,
    on_payload: Callable[[str], None],
    on_connected: Callable[[], None],
) -> None:
    def receive(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        on_payload(str(payload))

    closed = asyncio.Event()
    connection.add_termination_listener(lambda _connection: closed.set())
    async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
        await connection.add_listener(channel, receive)
    on_connected()
    while not closed.is_set():
        try:
            # Not wait_for: before Python 3.12 it swallows a cancellation that comes with the end
            # of the awaited task.
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await closed.wait()
        except TimeoutError:
            # A demoted server receives no notifications.
            await refuse_read_only(connection, CONNECT_TIMEOUT_SECONDS)
    raise ConnectionResetError("the server closed the connection")
