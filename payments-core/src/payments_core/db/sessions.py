"""Sessions of the pool: each leads to a server that takes writes, or leaves the pool.

A session outlives a failover: it may lead to a server that was demoted, or that is shutting
down. Postgres reports a changed role to idle sessions too, so most are found without a query.
"""

from time import monotonic
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.telemetry import MeasuredPool

# read_only_sql_transaction; admin_shutdown, crash_shutdown, cannot_connect_now.
SESSION_OVER_SQLSTATES = ("25006", "57P01", "57P02", "57P03")

READ_ONLY = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean"
# A role may turn it off for all its sessions: a crash would then lose answered payments.
# Other values, such as remote_apply, are the site's choice.
COMMIT_DURABLY = """SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') = 'off'"""

_OPENED, _REPORTED = "payments_opened", "payments_reported"  # In a pooled connection's info.


class DatabaseReadOnly(ConnectionError):
    """The server takes no writes: it is a standby, or default_transaction_read_only is on."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


async def refuse_read_only(connection: "asyncpg.Connection[Any]", seconds: float) -> None:
    """Raise DatabaseReadOnly unless the session takes writes."""
    # Ask the server: the value reported at the session's start may be a pooler's old one.
    if await connection.fetchval(READ_ONLY, timeout=seconds):
        raise DatabaseReadOnly


async def commit_durably(connection: "asyncpg.Connection[Any]", seconds: float) -> None:
    """Let the session's commits wait until they are stored."""
    await connection.execute(COMMIT_DURABLY, timeout=seconds)


async def prove_writable(connection: AsyncConnection) -> None:
    """Raise DatabaseReadOnly, and discard the session, unless it takes writes."""
    if (await connection.exec_driver_sql(READ_ONLY)).scalar_one():
        doubt_sessions(connection.engine)
        await connection.invalidate()
        raise DatabaseReadOnly


def is_session_over(error: BaseException) -> bool:
    """Return whether Postgres reports that this session can no longer be used."""
    return getattr(error, "sqlstate", None) in SESSION_OVER_SQLSTATES


def watch_sessions(engine: AsyncEngine) -> None:
    """Let the engine's pool discard the sessions that are over."""

    def connected(connection: Any, record: Any) -> None:
        record.info[_OPENED] = monotonic()
        record.info[_REPORTED] = _reported_role(connection.driver_connection)

    def checked_out(connection: Any, record: Any, _proxy: Any) -> None:
        driver = connection.driver_connection
        if (
            driver.is_closed()
            or record.info[_OPENED] <= _pool_of(engine).doubted_at
            or _reported_role(driver) != record.info[_REPORTED]
        ):
            raise DisconnectionError("The session is over.")  # The pool opens another.

    def failed(context: Any) -> None:
        if is_session_over(context.original_exception):
            context.is_disconnect = True
            doubt_sessions(engine)

    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "checkout", checked_out)
    event.listen(engine.sync_engine, "handle_error", failed)


def doubt_sessions(engine: AsyncEngine) -> None:
    """Replace every session that is open now before its next use."""
    _pool_of(engine).doubted_at = monotonic()


def _pool_of(engine: AsyncEngine) -> MeasuredPool:
    assert isinstance(engine.pool, MeasuredPool), "create_engine made it"
    return engine.pool


def _reported_role(driver: "asyncpg.Connection[Any]") -> tuple[object, object]:
    """Return the role that the server last reported: None for each value before PostgreSQL 14."""
    settings = driver.get_settings()
    return (
        getattr(settings, "in_hot_standby", None),
        getattr(settings, "default_transaction_read_only", None),
    )
