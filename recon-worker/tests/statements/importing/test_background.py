"""The worker imports what the API has received, in a process of low priority."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psutil
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import transaction
from payments_core.statements.receive import receive_file, remove_abandoned
from payments_core.statements.sources import find_source
from recon_worker.failpoints import VARIABLE
from recon_worker.statements import background
from recon_worker.statements.background import import_received
from recon_worker.statements.received_cli import NICENESS
from testkit.camt_files import Day, Entry, camt053
from testkit.database.sql import Sql
from testkit.waiting import LOW_PRIORITY_SECONDS_MAX, until

DATA = camt053(Day([Entry("20.00"), Entry("-3.50"), Entry("-3.50")]))

pytestmark = pytest.mark.usefixtures("received")


@pytest.fixture
async def received(
    engine: AsyncEngine,
    source: str,
    monkeypatch: pytest.MonkeyPatch,
    worker_url_of_database: str,
) -> None:
    """A file that waits for the worker, whose settings the environment holds."""
    monkeypatch.setenv("DATABASE_URL", worker_url_of_database)

    async def pieces() -> AsyncIterator[bytes]:
        yield DATA

    async with transaction(engine) as tx:
        row = await find_source(tx, source, None)
    options = {"file_name": None, "operator": Operator("ann"), "bytes_max": 10**9}
    await receive_file(engine, row, pieces(), **options)  # type: ignore[arg-type]  # Values of several types.


@asynccontextmanager
async def importing(engine: AsyncEngine) -> AsyncIterator[None]:
    """Run the worker's task within the block."""
    task = asyncio.create_task(import_received(engine, 0.05))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _children() -> list[psutil.Process]:
    found = psutil.Process().children()
    return [child for child in found if "import-received" in child.cmdline()]


def _killed(caplog: pytest.LogCaptureFixture) -> bool:
    return any(
        (record.message, getattr(record, "status", 0)) == ("statement_import_ended", -9)
        for record in caplog.records
    )


async def test_a_received_file_is_imported_and_abandoned_uploads_are_removed(
    sql: Sql, engine: AsyncEngine
) -> None:
    await sql.execute(
        "INSERT INTO statement_uploads VALUES (gen_random_uuid(), 0, 'x', 1, '2026-01-01'),"
        " (gen_random_uuid(), 0, 'x', 1, now())"
    )

    async def is_imported() -> bool:
        return bool(await sql.fetchval("SELECT status = 'accepted' FROM statement_files"))

    async with importing(engine):
        await until(is_imported, LOW_PRIORITY_SECONDS_MAX)
    assert await sql.fetchval("SELECT count(*) FROM statement_uploads") == 1
    async with transaction(engine) as tx:
        assert await remove_abandoned(tx) == 0


async def test_a_killed_process_leaves_the_file_for_the_next(
    sql: Sql,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(VARIABLE, "kill before_import_commit 1")

    async def was_killed() -> bool:
        return _killed(caplog)

    async def is_imported() -> bool:
        return bool(await sql.fetchval("SELECT status = 'accepted' FROM statement_files"))

    async with importing(engine):
        await until(was_killed, LOW_PRIORITY_SECONDS_MAX)
        assert not await is_imported()
        monkeypatch.delenv(VARIABLE)
        await sql.execute("UPDATE statement_files SET retry_at = now()")  # The wait is over.
        await until(is_imported, LOW_PRIORITY_SECONDS_MAX)
    assert await sql.fetchval("SELECT count(*) FROM statement_lines") == 3


async def test_the_process_yields_to_payments_and_ends_with_its_worker(
    sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "stop after_staging 1")

    async def is_stopped() -> bool:
        return any(child.status() == psutil.STATUS_STOPPED for child in _children())

    async with importing(engine):
        await until(is_stopped, LOW_PRIORITY_SECONDS_MAX)
        (child,) = _children()
        assert child.nice() == min(19, os.nice(0) + NICENESS)
    assert not child.is_running()
    assert await sql.fetchval("SELECT status FROM statement_files") == "received"
    assert await sql.fetchval("SELECT count(*) FROM statement_lines") == 0


async def test_a_process_that_hangs_is_killed(
    sql: Sql,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(VARIABLE, "stop after_staging 1")
    # Also if it has not come so far by then.
    monkeypatch.setattr(background, "FILE_SECONDS_MAX", 5.0)

    async def was_killed() -> bool:
        return _killed(caplog)

    async with importing(engine):
        await until(was_killed, LOW_PRIORITY_SECONDS_MAX)
    assert await sql.fetchval("SELECT status FROM statement_files") == "received"
