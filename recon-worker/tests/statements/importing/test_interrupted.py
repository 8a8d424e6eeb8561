"""An import that is cancelled, or fails for the database, in the middle of a file."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import transaction
from payments_core.statements import receive
from payments_core.statements.files import read_chunk
from recon_worker.statements.importing import checks, stream
from recon_worker.statements.importing.load import import_file
from recon_worker.statements.importing.verify import verify_file
from testkit.camt_files import Day, Entry, camt053
from testkit.command_line import Answer
from testkit.database.sql import Sql

Run = Callable[..., Awaitable[Answer]]

CHUNK_BYTES = 16 * 1024
DATA = camt053(Day([Entry(f"{n}.00") for n in range(1, 6)])) + b" " * 20 * CHUNK_BYTES
FILE = "SELECT * FROM statement_files"


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ROWS_MAX", 1)
    monkeypatch.setattr(receive, "CHUNK_BYTES", CHUNK_BYTES)


@pytest.mark.parametrize("chunk", [1, 15])  # Of the lines; of what follows them.
@pytest.mark.parametrize("work", [import_file, verify_file], ids=["import", "verify"])
async def test_a_cancellation_ends_the_reading_before_the_transaction(
    sql: Sql,
    engine: AsyncEngine,
    import_bytes: Run,
    monkeypatch: pytest.MonkeyPatch,
    receive_again: Callable[..., Awaitable[None]],
    work: Callable[..., Awaitable[object]],
    chunk: int,
) -> None:
    status, _, err = await import_bytes(DATA)
    assert (status, err) == (0, "")
    if work is import_file:
        await receive_again()
    async with transaction(engine) as tx:
        file = (await tx.execute(text(FILE))).one()
    fetching, numbers = asyncio.Event(), []

    async def fetch(tx: AsyncConnection, file_id: UUID, number: int) -> bytes:
        numbers.append(number)
        if number == chunk:
            fetching.set()
            await tx.execute(text("SELECT pg_sleep(0.2)"))
        return await read_chunk(tx, file_id, number)

    monkeypatch.setattr(stream, "read_chunk", fetch)
    before = asyncio.all_tasks()
    arguments = (file.id,) if work is import_file else (file, lambda _bytes: None)
    working = asyncio.ensure_future(work(engine, *arguments))
    await fetching.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert asyncio.all_tasks() == before
    assert numbers[-1] == chunk
    monkeypatch.undo()
    assert (await import_file(engine, file.id)).status == "accepted"
    assert await sql.fetchval("SELECT sum(amount) FROM statement_lines") == 15


@pytest.mark.parametrize("chunk", range(4))
async def test_a_cancelled_query_leaves_the_file_to_be_imported(
    sql: Sql, engine: AsyncEngine, import_bytes: Run, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    async def fetch(tx: AsyncConnection, file_id: UUID, number: int) -> bytes:
        if number == chunk:
            await tx.execute(text("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(10)"))
        return await read_chunk(tx, file_id, number)

    monkeypatch.setattr(stream, "read_chunk", fetch)
    status, _, err = await import_bytes(DATA)
    assert status == 2
    assert "the database does not answer" in err
    assert await sql.fetchval("SELECT status FROM statement_files") == "received"
    assert await sql.fetchval("SELECT count(*) FROM statement_staging") == 0
    monkeypatch.undo()
    file_id = await sql.fetchval("SELECT id FROM statement_files")
    assert (await import_file(engine, file_id)).status == "accepted"
