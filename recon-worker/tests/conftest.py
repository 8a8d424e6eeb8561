"""Fixtures that several tests of the worker share."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from payments_core.db.engine import server_settings
from recon_worker.__main__ import main
from recon_worker.audit import windows
from testkit.command_line import CommandLine, database_in_messages
from testkit.database.ledgers.settled import settle_four
from testkit.database.sql import Sql


@pytest.fixture
async def settled(sql: Sql, worker_url_of_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settle four payments in order; the auditor checks the youngest payments too."""
    monkeypatch.setattr(windows, "PAYMENT_SETTLES_IN_SECONDS", -60)
    await settle_four(sql, worker_url_of_database)


@pytest.fixture
async def worker_connection(
    worker_url_of_database: str,
) -> AsyncIterator[Sql]:
    """Open a connection with the role and the settings of the worker's connections."""
    connection = await asyncpg.connect(
        worker_url_of_database, server_settings=server_settings("test")
    )
    yield connection
    await connection.close()


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
