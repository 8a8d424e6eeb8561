"""Connections to Postgres: one engine for each process, every wait bounded."""

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import URL, Row
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from payments_core.db.sessions import (
    commit_durably,
    doubt_sessions,
    is_session_over,
    refuse_read_only,
    watch_sessions,
)
from payments_core.db.telemetry import MeasuredPool, trace_statements
from payments_core.db.tls import tls_problem
from payments_core.db.url import CONNECT_TIMEOUT_SECONDS, read_url

# A row whose columns the type checker does not know.
AnyRow = Row[*tuple[Any, ...]]

LOCK_TIMEOUT_SECONDS = 5  # Longer than any batch holds a head row, shorter than a lease.
STATEMENT_TIMEOUT_SECONDS = 30
IDLE_IN_TRANSACTION_TIMEOUT_SECONDS = 15  # Frees the locks of a stalled process.
POOL_WAIT_SECONDS = 5
CANCEL_GRACE_SECONDS = 0.05  # TCP connects within it, or finds no server.
# The errors while Postgres restarts, is unreachable, has no free connection, or while a restore
# renames the database.
NO_SUCH_DATABASE = "3D000"
_UNAVAILABLE_SQLSTATES = ("08", "53", "57P", "25006", "55P03", "57014", NO_SUCH_DATABASE)


def server_settings(application_name: str) -> dict[str, str]:
    """Return the settings with which every connection starts."""
    return {
        "application_name": application_name,
        "lock_timeout": f"{LOCK_TIMEOUT_SECONDS}s",
        "statement_timeout": f"{STATEMENT_TIMEOUT_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_TIMEOUT_SECONDS}s",
        "timezone": "UTC",
        # The database or the role may set these differently.
        "default_transaction_isolation": "read committed",
        "datestyle": "ISO, MDY",
        # Keep one plan for every batch, made of index look-ups. With a custom plan's estimate, or
        # with the costs of a spinning disk, the planner hash-joins a batch with whole tables.
        "plan_cache_mode": "force_generic_plan",
        "random_page_cost": "1.1",
        "jit": "off",
        # A generic plan expects many rows: for a page of a large table it would start parallel
        # processes, which takes longer than the page and uses cores that payments need.
        "max_parallel_workers_per_gather": "0",
    }


async def connect(url: str, **options: Any) -> "asyncpg.Connection[Any]":
    """Call asyncpg.connect with the URL and `options`; every connection of ours begins here.

    Raises DatabaseTlsError and asyncpg's errors.
    """
    to = read_url(url)
    options.setdefault("timeout", to.timeout_seconds)
    try:
        connection = await _cancelled_cleanly(asyncpg.connect(to.dsn, **options))
    except (OSError, asyncpg.PostgresError) as error:
        problem = tls_problem(error, to.where)
        if problem is None:
            raise
        raise problem from error
    try:
        _notice_a_dead_peer(connection, to.tcp_options)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def connect_to_primary(url: str, **options: Any) -> "asyncpg.Connection[Any]":
    """Connect to a server that takes writes, and let commits wait until they are stored.

    Raises DatabaseReadOnly, DatabaseTlsError and asyncpg's errors.
    """
    connection = await connect(url, **options)
    try:
        await refuse_read_only(connection, CONNECT_TIMEOUT_SECONDS)
        await commit_durably(connection, CONNECT_TIMEOUT_SECONDS)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def _cancelled_cleanly(
    connecting: "Coroutine[Any, Any, asyncpg.Connection[Any]]",
) -> "asyncpg.Connection[Any]":
    """Await the connect attempt; a cancellation waits until TCP is connected, within bounds.

    asyncpg 0.32 forgets the future of its TLS request when it is cancelled just then, and asyncio
    logs an exception that was never retrieved.
    """
    attempt = asyncio.ensure_future(connecting)
    try:
        return await asyncio.shield(attempt)
    except asyncio.CancelledError:
        attempt.add_done_callback(_discard)
        try:
            await asyncio.wait([attempt], timeout=CANCEL_GRACE_SECONDS)
        finally:
            attempt.cancel()
        raise


def _discard(attempt: "asyncio.Future[asyncpg.Connection[Any]]") -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().terminate()


def _notice_a_dead_peer(
    connection: "asyncpg.Connection[Any]", tcp_options: Mapping[str, int]
) -> None:
    """Let the kernel close a connection whose peer vanished."""
    # asyncpg has no public way to its socket.
    transport: asyncio.Transport = connection._transport  # type: ignore[attr-defined]
    opened = transport.get_extra_info("socket")
    if opened is None or opened.family not in (socket.AF_INET, socket.AF_INET6):
        return
    if opened.fileno() < 0:  # The server closed it meanwhile; each event loop raises its own error.
        raise asyncpg.ConnectionDoesNotExistError("the server closed the connection")
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in tcp_options.items():
        if hasattr(socket, name):  # Not every system has each.
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def create_engine(
    url: str,
    *,
    application_name: str,
    pool_size: int,
    statement_seconds: float = STATEMENT_TIMEOUT_SECONDS,
) -> AsyncEngine:
    """Return an engine with a bounded pool; the url is DATABASE_URL's."""
    settings = server_settings(application_name)
    settings["statement_timeout"] = f"{statement_seconds:.0f}s"
    to = read_url(url)
    engine = create_async_engine(
        # For traces alone; asyncpg reads the URL itself.
        URL.create("postgresql+asyncpg", host=to.host, port=to.port, database=to.database),
        hide_parameters=True,  # Parameters hold keys and descriptions, and errors go to the log.
        poolclass=MeasuredPool,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_recycle=1800,
        async_creator=lambda: connect_to_primary(
            url,
            command_timeout=statement_seconds
            + 5,  # For a server that cannot report its own timeout.
            server_settings=settings,
        ),
    )
    watch_sessions(engine)
    trace_statements(engine)
    return engine


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Open a READ COMMITTED transaction: commit when the block ends, roll back if it raises."""
    async with engine.begin() as tx:
        yield tx


@asynccontextmanager
async def single_statement(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Yield a connection on which each statement is its own transaction, in one round trip."""
    async with engine.connect() as connection:
        yield await connection.execution_options(isolation_level="AUTOCOMMIT")


@asynccontextmanager
async def driver_connection(engine: AsyncEngine) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Yield asyncpg's connection, for the few statements on every payment's path.

    SQLAlchemy's greenlet costs about 400 microseconds more for a statement. Errors are asyncpg's
    own; a broken connection, or one whose session is over, leaves the pool.
    """
    async with single_statement(engine) as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert isinstance(driver, asyncpg.Connection), "the engine's dialect is asyncpg's"
        try:
            yield driver
        except (TimeoutError, asyncpg.InternalClientError):
            # The statement may still be running, or the peer may be gone.
            driver.terminate()
            raise
        except asyncpg.PostgresError as error:
            if is_session_over(error):
                doubt_sessions(engine)
                driver.terminate()
            raise
        finally:
            if driver.is_closed():
                await connection.invalidate()


def reason_of(error: BaseException) -> str:
    """Return the error's name and text in one line, as the database gave them.

    SQLAlchemy's text also quotes the statement and its parameters, which do not help readers of
    logs and dead letters.
    """
    cause = _driver_error(error)
    return " ".join(f"{type(cause).__name__}: {cause}".split()).removesuffix(":")


def _driver_error(error: BaseException) -> BaseException:
    """Return asyncpg's error behind SQLAlchemy's, or the error itself."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


def sqlstate_of(error: BaseException) -> str | None:
    """Return the error's SQLSTATE, or None if it is not from Postgres."""
    cause: BaseException | None = error.orig if isinstance(error, DBAPIError) else error
    while cause is not None:
        sqlstate = getattr(cause, "sqlstate", None)
        if isinstance(sqlstate, str):
            return sqlstate
        cause = cause.__cause__
    return None


def is_unavailable(error: BaseException) -> bool:
    """Return whether the database is unavailable for now, so that a later attempt may succeed."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    # SQLAlchemy translates most of asyncpg's errors, and quotes the statement in its own text.
    cause = _driver_error(error)
    # An InternalClientError: the server's goodbye came while asyncpg was about to send.
    if isinstance(cause, OSError | PoolTimeoutError | asyncpg.InternalClientError):
        return True
    sqlstate = sqlstate_of(error)
    if sqlstate is None:
        # asyncpg's own complaints, such as a connection closed in the middle.
        ours = isinstance(error, SQLAlchemyError | asyncpg.InterfaceError)
        return ours and "connection" in str(cause)
    return sqlstate.startswith(_UNAVAILABLE_SQLSTATES)


def is_connection_lost(error: BaseException) -> bool:
    """Return whether the session ended with its work undone or safe to repeat."""
    if isinstance(error, TimeoutError | PoolTimeoutError):
        return False  # The next one may be as silent, while a client waits.
    sqlstate = sqlstate_of(error)
    return is_unavailable(error) and (
        sqlstate is None or sqlstate.startswith(("08", "57P", "25006"))
    )
