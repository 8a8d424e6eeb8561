"""Fixtures of tests of statements: a source, and its commands."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from testkit.camt_files import ACCOUNT
from testkit.command_line import Answer, CommandLine
from testkit.database.sql import Sql

Run = Callable[..., Awaitable[Answer]]


@pytest.fixture
async def source(sql: Sql, program: CommandLine, where: str) -> str:
    """A source in EUR of the account that testkit's files name."""
    words = ("sources", "add", "bank-eur", "--account", ACCOUNT, "--currency", "EUR")
    assert await program(*words) == (0, f"added source bank-eur in {where}\n", "")
    return "bank-eur"


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
