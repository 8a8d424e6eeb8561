"""The worker matches a source after an import, and every source every hour."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import transaction
from payments_core.statements.receive import receive_file
from payments_core.statements.sources import find_source
from recon_worker.statements.background import import_received
from recon_worker.statements.matching import background
from testkit.camt_files import Day, camt053
from testkit.camt_files import Entry as CamtEntry
from testkit.command_line import Answer
from testkit.database.matching_books import Entry, active_matches, add_entries
from testkit.database.sql import Sql
from testkit.waiting import LOW_PRIORITY_SECONDS_MAX, until

Run = Callable[..., Awaitable[Answer]]


async def test_a_received_statement_is_imported_and_matched_by_the_task(
    sql: Sql,
    engine: AsyncEngine,
    source: str,
    monkeypatch: pytest.MonkeyPatch,
    worker_url_of_database: str,
) -> None:
    monkeypatch.setenv("DATABASE_URL", worker_url_of_database)
    await add_entries(sql, [Entry("20.00", "INV-1")])
    task = asyncio.create_task(import_received(engine, 0.05))

    async def matched(count: int) -> bool:
        return len(await active_matches(sql)) == count

    async def ran() -> bool:
        return bool(await sql.fetchval("SELECT count(*) FROM recon_runs"))

    async def bytes_of() -> AsyncIterator[bytes]:
        yield camt053(Day([CamtEntry("20.00", end_to_end="INV-1")]))

    try:
        await until(ran)  # The run of the hour, which finds no line.
        async with transaction(engine) as tx:
            row = await find_source(tx, source, None)
        await receive_file(
            engine, row, bytes_of(), file_name=None, operator=Operator("ann"), bytes_max=10**6
        )
        await until(lambda: matched(1), LOW_PRIORITY_SECONDS_MAX)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_source_that_fails_keeps_no_other_back(
    sql: Sql, engine: AsyncEngine, import_bytes: Run
) -> None:
    await add_entries(sql, [Entry("20.00", "INV-1")])
    assert (await import_bytes(camt053(Day([CamtEntry("20.00", end_to_end="INV-1")]))))[0] == 0
    await sql.execute(
        "INSERT INTO recon_sources (id, name, account_identifier, currency, format, time_zone)"
        " OVERRIDING SYSTEM VALUE VALUES (-1, 'broken', 'X', 'USD', 'auto', 'No/Where')"
    )
    await add_entries(sql, [Entry("1.00")], currency="USD")
    await background.match_sources(engine)
    assert len(await active_matches(sql)) == 1
