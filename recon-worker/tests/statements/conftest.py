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
def import_bytes(program: CommandLine, source: str, tmp_path: Path) -> Run:
    """`await import_bytes(data, "name.xml")` imports a file by the command line."""

    async def run(data: bytes, name: str = "statement.xml", *words: str) -> Answer:
        path = tmp_path / name
        path.write_bytes(data)
        return await program("statements", "import", str(path), "--source", source, *words)

    return run
