"""Reading and storing at once on one connection: they overlap, and an error finds it free."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.statements import receive
from payments_core.statements.files import read_chunk
from recon_worker.statements.importing import checks, load, stage, stream
from recon_worker.statements.importing.checks import FileReader, Quarantined, Row
from testkit.camt_files import Day, Entry, camt053
from testkit.command_line import Answer
from testkit.database.sql import Sql

Run = Callable[..., Awaitable[Answer]]

DATA = camt053(Day([Entry(f"{n}.00") for n in range(1, 6)]))
CHUNK_BYTES = 16 * 1024
LONG = b" " * 20 * CHUNK_BYTES  # There is always a next chunk to fetch.


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ROWS_MAX", 1)
    monkeypatch.setattr(receive, "CHUNK_BYTES", CHUNK_BYTES)


async def test_rows_are_read_while_those_before_are_stored(
    sql: Sql, import_bytes: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Semaphore(0)
    next_rows, copy = FileReader.next_rows, stage._copy

    def read(reader: FileReader) -> Sequence[Row]:
        begun.release()
        return next_rows(reader)

    async def store(tx: AsyncConnection, rows: Sequence[Row]) -> None:
        await asyncio.to_thread(begun.acquire)  # Of these rows; then of the next.
        assert await asyncio.to_thread(begun.acquire, timeout=10)
        begun.release()
        await copy(tx, rows)

    monkeypatch.setattr(FileReader, "next_rows", read)
    monkeypatch.setattr(stage, "_copy", store)
    status, _, err = await import_bytes(DATA)
    assert (status, err) == (0, "")
    stored = await sql.fetch("SELECT amount::int FROM statement_lines ORDER BY id")
    assert [row[0] for row in stored] == [1, 2, 3, 4, 5]


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """How long reading and fetching go on; both must have ended when an error is rolled back."""
    seconds = {"fetch": 0.0, "read": 0.0}
    running: list[str] = []
    next_rows, problem_of = FileReader.next_rows, load._problem_of

    async def fetch(tx: AsyncConnection, file_id: UUID, number: int) -> bytes:
        running.append("fetch")
        await asyncio.sleep(seconds["fetch"])
        data = await read_chunk(tx, file_id, number)
        running.remove("fetch")
        return data

    def read(reader: FileReader) -> Sequence[Row]:
        running.append("read")
        try:
            return next_rows(reader)
        finally:
            time.sleep(seconds["read"])
            running.remove("read")

    def rolled_back(error: Exception) -> Quarantined:
        assert running == []
        return problem_of(error)

    monkeypatch.setattr(stream, "read_chunk", fetch)
    monkeypatch.setattr(FileReader, "next_rows", read)
    monkeypatch.setattr(load, "_problem_of", rolled_back)
    return seconds


async def test_rows_that_cannot_be_stored_are_rolled_back_when_nothing_is_read(
    sql: Sql, import_bytes: Run, monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float]
) -> None:
    seconds["read"] = 0.2

    async def fail(_tx: AsyncConnection, _rows: Sequence[Row]) -> None:
        raise OverflowError

    monkeypatch.setattr(stage, "_copy", fail)
    status, _, err = await import_bytes(DATA + LONG)
    assert status == 1
    assert "the import failed with OverflowError" in err
    assert await sql.fetchval("SELECT status FROM statement_files") == "quarantined"


async def test_a_broken_file_is_rolled_back_when_no_chunk_is_fetched(
    sql: Sql, import_bytes: Run, seconds: dict[str, float]
) -> None:
    seconds["fetch"] = 0.2
    status, _, err = await import_bytes(DATA.replace(b"2.00", b"two", 1) + LONG)
    assert status == 1
    assert "'two' is not an amount" in err
    assert await sql.fetchval("SELECT status FROM statement_files") == "quarantined"
    assert await sql.fetchval("SELECT count(*) FROM statement_staging") == 0
