"""An empty database, and the command that migrates it."""

import asyncio
import subprocess
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from payments_api.__main__ import main
from payments_local.postgres import BIN, EmbeddedPostgres
from testkit.command_line import CommandLine
from testkit.database.another import another_database


@pytest.fixture
def empty_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """Return the superuser's URL of an empty database for one test."""
    with another_database(postgres.url, "migrations") as url:
        yield url


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Run `payments-api migrate ...` in this process; return exit status, output and errors."""
    return CommandLine(monkeypatch, capsys, main, "migrate")


async def rows_of(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def schema_of(url: str) -> str:
    """Return pg_dump's schema, without its random markers."""
    dump = await asyncio.create_subprocess_exec(
        str(BIN / "pg_dump"), "--schema-only", url, stdout=subprocess.PIPE
    )
    text = (await dump.communicate())[0].decode()
    assert dump.returncode == 0
    return "\n".join(line for line in text.splitlines() if "restrict" not in line)
