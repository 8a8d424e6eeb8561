"""Commands on the database: a failure is one line and exit status 2, never a traceback."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.cli.output import escaped
from payments_core.db.engine import (
    NO_SUCH_DATABASE,
    STATEMENT_TIMEOUT_SECONDS,
    connect,
    create_engine,
    is_unavailable,
    reason_of,
    sqlstate_of,
    transaction,
)
from payments_core.db.settings import DatabaseSettings
from payments_core.db.url import dsn_with_password, read_url

Result = TypeVar("Result")

# Errors of a statement or of a connection.
DATABASE_ERRORS = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)


class DatabaseRefused(ConnectionError):
    """The database refuses this program's role, password, database or options."""


async def check_sign_in(url: str) -> None:
    """Connect once at start, to detect permanent errors.

    Raises DatabaseRefused if every later attempt would fail too. An unreachable database is no
    error here: it may come back.
    """
    try:
        connection = await connect(url)
    except DATABASE_ERRORS as error:
        if may_come_back(error):
            return
        raise DatabaseRefused(f"the database refuses the connection: {reason_of(error)}") from None
    connection.terminate()


def dsn_of(settings: DatabaseSettings) -> str:
    """Return the settings' URL with its password. Raises OSError."""
    return dsn_with_password(settings.database_url, settings.database_password_file)


def name_of(settings: DatabaseSettings) -> str:
    """Return the database's name and address, which every command that changes it prints."""
    url = read_url(settings.database_url)
    return f"{url.database or 'the default database'} at {url.where}"


def run_on_database(
    settings: DatabaseSettings,
    work: Callable[[AsyncEngine], Awaitable[int]],
    program: str,
    statement_seconds: float = STATEMENT_TIMEOUT_SECONDS,
    refusals: tuple[type[Exception], ...] = (),
) -> int:
    """Run the work and return its exit status.

    Return 1 after one line for one of the refusals, 2 after one line if the database fails.
    """

    async def on_engine() -> int:
        engine = create_engine(
            dsn_of(settings),
            application_name=program,
            pool_size=2,
            statement_seconds=statement_seconds,
        )
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    try:
        return asyncio.run(on_engine())
    except refusals as error:
        print(f"{escaped(str(error)).rstrip('.')} ({name_of(settings)})", file=sys.stderr)
        return 1
    except DATABASE_ERRORS as error:
        print(database_failure(error), file=sys.stderr)
        return 2


def run_in_transaction(
    settings: DatabaseSettings,
    work: Callable[[AsyncConnection], Awaitable[Result]],
    say: Callable[[Result, str], None],
    program: str,
    refusals: tuple[type[Exception], ...] = (),
) -> int:
    """Run the work in a transaction; after the commit, say its result and the database's name."""

    async def on_engine(engine: AsyncEngine) -> int:
        async with transaction(engine) as tx:
            result = await work(tx)
        say(result, name_of(settings))
        return 0

    return run_on_database(settings, on_engine, program, refusals=refusals)


def database_failure(error: Exception) -> str:
    """Return one line that says whether the database is unavailable or refuses, and why."""
    does_what = "does not answer" if may_come_back(error) else "refuses"
    return f"the database {does_what}: {reason_of(error)}"


def may_come_back(error: BaseException) -> bool:
    """Return whether a command may succeed later: not with the name of a missing database."""
    return is_unavailable(error) and sqlstate_of(error) != NO_SUCH_DATABASE
