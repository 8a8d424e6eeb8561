"""Fixtures of tests of statements: a source, and its commands."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from recon_worker.__main__ import main
from testkit.camt_files import ACCOUNT
from testkit.command_line import Answer, CommandLine, database_in_messages
from testkit.database.backlog import Sql

Run = Callable[..., Awaitable[Answer]]


@pytest.fixture
def program(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    worker_url_of_database: str,
) -> CommandLine:
    """`await program("statements", "list")` → (exit status, standard output, standard error)."""
    return CommandLine(monkeypatch, capsys, main, DATABASE_URL=worker_url_of_database)


@pytest.fixture
def where(worker_url_of_database: str) -> str:
    """Return the database's name in messages."""
    return database_in_messages(worker_url_of_database)


@pytest.fixture
async def source(sql: Sql, program: CommandLine, where: str) -> str:
    """A source in EUR of the account that testkit's files name."""
    words = ("sources", "add", "bank-eur", "--account", ACCOUNT, "--currency", "EUR")
    assert await program(*words) == (0, f"added source bank-eur in {where}\n", "")
    return "bank-eur"


@pytest.fixture
def import_bytes(program: CommandLine, source: str, tmp_path: Path) -> Run:
    """`await import_bytes(data, "name.xml")` imports a file by the command line."""

    async def run(data: bytes, name: str = "statement.xml", *words: str) -> Answer:
        path = tmp_path / name
        path.write_bytes(data)
        return await program("statements", "import", str(path), "--source", source, *words)

    return run
