"""Command-line programs end with an exit status and one line, never with a traceback."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from payments_core.db.engine import connect, is_unavailable, reason_of

READER_LEFT = 128 + signal.SIGPIPE  # The shell's exit status of a program that SIGPIPE ended.

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
        if is_unavailable(error):
            return
        raise DatabaseRefused(f"the database refuses the connection: {reason_of(error)}") from None
    connection.terminate()


def run_command(work: Coroutine[Any, Any, int]) -> int:
    """Run a command that needs the database; return its exit status, or 2 after one line."""
    try:
        return asyncio.run(work)
    except BrokenPipeError:
        raise
    except DATABASE_ERRORS as error:
        print(database_failure(error), file=sys.stderr)
        return 2


def database_failure(error: Exception) -> str:
    """Return one line that says whether the database is unavailable or refuses, and why."""
    does_what = "does not answer" if is_unavailable(error) else "refuses"
    return f"the database {does_what}: {reason_of(error)}"


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """End quietly when the reader of standard output, such as `head`, has closed it."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Discard buffered output, which would fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(READER_LEFT) from None
