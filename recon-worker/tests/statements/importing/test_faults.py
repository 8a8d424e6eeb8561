"""Killed and concurrent imports: all of a file or nothing, and once."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import AnyRow, transaction
from payments_core.statements.files import FileDamaged
from payments_core.statements.receive import receive_file
from payments_core.statements.sources import find_source
from recon_worker.failpoints import IMPORT_POINTS
from recon_worker.statements.importing import load
from recon_worker.statements.importing.load import import_file, import_next
from recon_worker.statements.importing.stage import stage
from testkit.camt_files import Day, Entry, camt053
from testkit.database.sql import Sql
from testkit.waiting import until

from ..conftest import Fork

ReceiveAgain = Callable[..., Awaitable[None]]
DATA = camt053(Day([Entry("20.00"), Entry("-3.50"), Entry("-3.50")]))
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
TABLES = ("statements", "statement_lines", "statement_staging")


async def _import(engine: AsyncEngine, source: str, data: bytes, name: str = "x") -> bool:
    file, new = await _receive(engine, source, data, name)
    await import_file(engine, file.id)
    return new


async def _receive(
    engine: AsyncEngine, source: str, data: bytes, name: str = "x"
) -> tuple[AnyRow, bool]:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 1000):
            await asyncio.sleep(0)
            yield data[start : start + 1000]

    async with transaction(engine) as tx:
        row = await find_source(tx, source, None)
    options = {"file_name": name, "operator": Operator("ann"), "bytes_max": 10**9}
    return await receive_file(engine, row, pieces(), **options)  # type: ignore[arg-type]  # Values of several types.


async def _stored(sql: Sql) -> list[list[tuple[object, ...]]]:
    """All that an import stores, without ids and times."""
    statements = await sql.fetch("SELECT opening, closing, net, line_count FROM statements")
    lines = await sql.fetch(
        "SELECT line_no, amount, fingerprint, occurrence FROM statement_lines ORDER BY id"
    )
    return [[tuple(row) for row in rows] for rows in (statements, lines)]


@pytest.mark.parametrize("point", IMPORT_POINTS)
async def test_a_killed_import_leaves_nothing_and_is_repeated_in_full(
    sql: Sql,
    engine: AsyncEngine,
    source: str,
    tmp_path: Path,
    fork: Fork,
    receive_again: ReceiveAgain,
    point: str,
) -> None:
    path = tmp_path / "day.xml"
    path.write_bytes(DATA)
    words = ("statements", "import", str(path), "--source", source)
    status, _ = await fork(*words, kill=f"{point} 1")
    assert status == -signal.SIGKILL

    async def is_rolled_back() -> bool:
        return not await sql.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'recon-worker-cli'"
        )

    await until(is_rolled_back)
    for table in TABLES:
        assert await sql.fetchval(f"SELECT count(*) FROM {table}") == 0
    assert await sql.fetchval("SELECT status FROM statement_files") == "received"
    await sql.execute("UPDATE statement_files SET retry_at = now()")  # The wait is over.
    file = await import_next(engine)
    assert file is not None
    assert file.status == "accepted"
    resumed = await _stored(sql)
    assert len(resumed[1]) == 3
    # Without a kill, byte for byte the same.
    await receive_again()
    await import_next(engine)
    assert await _stored(sql) == resumed


async def test_two_imports_of_the_same_bytes_at_once_store_them_once(
    sql: Sql, engine: AsyncEngine, source: str
) -> None:
    new = await asyncio.gather(*(_import(engine, source, DATA, f"{n}.xml") for n in range(4)))
    assert sorted(new) == [False, False, False, True]
    assert await sql.fetchval("SELECT count(*) FROM statement_files") == 1
    assert len((await _stored(sql))[1]) == 3
    assert await sql.fetchval("SELECT count(*) FROM statement_uploads") == 0


async def test_two_files_of_one_source_at_once_are_chained(
    sql: Sql, engine: AsyncEngine, source: str
) -> None:
    # Each repeats the other's day with other bytes: only one may add its lines.
    again = camt053(Day([Entry("20.00"), Entry("-3.50"), Entry("-3.50")]), message_id="M2")
    await asyncio.gather(*(_import(engine, source, data) for data in (DATA, again)))
    assert await sql.fetchval("SELECT count(*) FROM statement_lines") == 3
    known = await sql.fetch("SELECT known_count FROM statements ORDER BY id")
    assert [row[0] for row in known] == [0, 3]


async def test_a_file_imported_again_waits_for_the_import_that_fills_its_gap(
    sql: Sql, engine: AsyncEngine, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, gap, last = (
        camt053(Day([Entry("1.00", on)], opening, from_on=on, bank_id=f"S{on}"))
        for on, opening in (
            ("2026-11-24", "100.00"),
            ("2026-11-25", "101.00"),
            ("2026-11-26", "102.00"),
        )
    )
    await _import(engine, source, first)
    await _import(engine, source, last)
    (of_last, _), (of_gap, _) = [await _receive(engine, source, data) for data in (last, gap)]
    assert of_last.problem_code == "chain"
    again: list[asyncio.Task[AnyRow]] = []

    async def staged(tx: AsyncConnection, file: AnyRow, advance: Callable[[int], None]) -> Any:
        reader = await stage(tx, file, advance)
        if file.id == of_gap.id:
            again.append(asyncio.create_task(import_file(engine, of_last.id)))

            async def waits() -> bool:
                return bool(await sql.fetchval(WAITING))

            await until(waits)
        return reader

    monkeypatch.setattr(load, "stage", staged)
    assert (await import_file(engine, of_gap.id)).status == "accepted"
    assert (await again[0]).status == "accepted"
    assert await sql.fetchval("SELECT sum(amount) FROM statement_lines") == 3


async def test_a_damaged_file_is_not_imported(
    engine: AsyncEngine, source: str, receive_again: ReceiveAgain
) -> None:
    await _import(engine, source, DATA)
    await receive_again("UPDATE statement_files SET sha256 = sha256('other')")
    file = await import_next(engine)
    assert file is not None
    assert (file.status, file.problem) == ("quarantined", FileDamaged.__doc__)
