"""Fixtures of tests of statements: a source, and its commands."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest

from recon_worker.failpoints import VARIABLE
from testkit.camt_files import ACCOUNT
from testkit.command_line import Answer, CommandLine
from testkit.database.sql import Sql
from testkit.forked_program import ForkedProgram

Fork = Callable[..., Awaitable[tuple[int, str]]]
Run = Callable[..., Awaitable[Answer]]
COMMAND_SECONDS_MAX = 60.0


@pytest.fixture
async def source(sql: Sql, program: CommandLine, where: str) -> str:
    """A source in EUR of the account that testkit's files name."""
    words = ("sources", "add", "bank-eur", "--account", ACCOUNT, "--currency", "EUR")
    assert await program(*words) == (0, f"added source bank-eur in {where}\n", "")
    return "bank-eur"


@pytest.fixture
def fork(tmp_path: Path, worker_url_of_database: str) -> Fork:
    """`await fork("sources", "list")` runs the worker's command in a process of its own.

    With `kill="after_staging 1"` it is killed at that point. Returns status and whole output.
    """

    async def run(*words: str, kill: str | None = None) -> tuple[int, str]:
        log = tmp_path / f"{uuid4()}.log"
        fault = {} if kill is None else {VARIABLE: f"kill {kill}"}
        environ = {"DATABASE_URL": worker_url_of_database, **fault}
        started = ForkedProgram("recon_worker", words, log, environ)
        status = await asyncio.to_thread(started.wait, COMMAND_SECONDS_MAX)
        return status, log.read_text()

    return run


@pytest.fixture
def receive_again(sql: Sql) -> Callable[..., Awaitable[None]]:
    """`await receive_again()` leaves files as they were received, without their statements.

    It then runs the statements given, as a superuser without triggers.
    """

    async def run(*changes: str) -> None:
        await sql.execute("SET session_replication_role = replica")
        await sql.execute("DELETE FROM statement_lines; DELETE FROM statements")
        await sql.execute("UPDATE statement_files SET status = 'received', decided_at = NULL")
        for change in changes:
            await sql.execute(change)
        await sql.execute("RESET session_replication_role")

    return run


@pytest.fixture
def import_bytes(program: CommandLine, source: str, tmp_path: Path) -> Run:
    """`await import_bytes(data, "name.xml")` imports a file by the command line."""

    async def run(data: bytes, name: str = "statement.xml", *words: str) -> Answer:
        path = tmp_path / name
        path.write_bytes(data)
        return await program("statements", "import", str(path), "--source", source, *words)

    return run
