"""Files read again: forged lines with true fingerprints, which no sum betrays, are named."""

import json
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.statements.fingerprint import fingerprint_of
from recon_worker.audit.statements import STATEMENT_INVARIANTS
from testkit.camt_files import Day, Entry, camt053
from testkit.command_line import Answer, CommandLine
from testkit.database.ledgers.settled import findings_of
from testkit.database.sql import Sql

Run = Callable[..., Awaitable[Answer]]
NAMES = {invariant.name for invariant in STATEMENT_INVARIANTS}
COFFEE = Entry("-3.50")
FIRST = Day([Entry("20.00", "2026-11-26", end_to_end="INV-1"), COFFEE], from_on="2026-11-26")
# Repeats the coffee, and a coffee of its own.
SECOND = Day([COFFEE, COFFEE], "116.50", bank_id="S2")

pytestmark = pytest.mark.usefixtures("imported")


@pytest.fixture
async def imported(import_bytes: Run) -> None:
    """Two imported files, whose statements chain."""
    for number, day in enumerate((FIRST, SECOND)):
        status, _, err = await import_bytes(camt053(day), f"{number}.xml")
        assert (status, err) == (0, "")


async def _verified(program: CommandLine) -> list[str]:
    status, out, _ = await program("statements", "verify", "--json")
    told = json.loads(out)
    assert told["files"] == 2
    assert status == (1 if told["differences"] else 0)
    return [each["problem"] for each in told["differences"]]


async def _forge(sql: Sql, *changes: str) -> None:
    """Change rows as a superuser without triggers and keys."""
    await sql.execute("SET session_replication_role = replica")
    for change in changes:
        assert int((await sql.execute(change)).split()[-1]) == 1, change
    await sql.execute("RESET session_replication_role")


async def _audited(engine: AsyncEngine) -> set[str]:
    findings = await findings_of(engine, "full")
    return {name for name, each in findings.items() if each.offending} & NAMES


async def test_honest_files_agree_with_known_lines_too(sql: Sql, program: CommandLine) -> None:
    assert await _verified(program) == []
    assert await sql.fetchval("SELECT count(*) FROM statement_staging") == 0
    status, out, err = await program("statements", "verify", "--newest", "1")
    assert (status, out, err) == (0, "1 file, 0 differences\n", "")


FINGERPRINT = fingerprint_of("'statement'")
FORGERIES = {
    "another reference": (
        [
            "UPDATE statement_lines SET end_to_end = 'INV-2' WHERE amount = 20",
            f"UPDATE statement_lines SET fingerprint = {FINGERPRINT} WHERE amount = 20",
        ],
        "1 stored lines are not in the file, first 1",
    ),
    "another balance": (
        [
            "UPDATE statements SET opening = 90, closing = 106.50 WHERE bank_id = 'S1'",
            "UPDATE statements SET opening = 106.50, closing = 99.50 WHERE bank_id = 'S2'",
        ],
        "opening is 90, in the file 100.00",
    ),
    "a line removed as known": (
        [
            "DELETE FROM statement_lines WHERE amount = 20",
            "UPDATE statements SET known_count = 1, known_net = 20 WHERE bank_id = 'S1'",
        ],
        "1 lines of the file are not stored with it, 1 of them nowhere; 1 were known",
    ),
    "another day": (
        ["UPDATE statements SET to_on = '2026-11-28' WHERE bank_id = 'S2'"],
        "to_on is 2026-11-28, in the file 2026-11-27",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_forgery_that_no_sum_betrays_is_named(
    sql: Sql, engine: AsyncEngine, program: CommandLine, name: str
) -> None:
    changes, problem = FORGERIES[name]
    await _forge(sql, *changes)
    assert await _audited(engine) == set(), "else the auditor alone names it"
    assert problem in await _verified(program)


@pytest.mark.parametrize("change", ["amount = 21", "booked_on = '2026-11-25'", "remittance = 'x'"])
async def test_a_changed_line_is_named_without_the_auditor(
    sql: Sql, program: CommandLine, change: str
) -> None:
    await _forge(sql, f"UPDATE statement_lines SET {change} WHERE amount = 20")
    assert "1 stored lines are not in the file, first 1" in await _verified(program)


async def test_a_statement_that_the_workers_role_adds_to_a_file_is_named(
    engine: AsyncEngine, program: CommandLine, worker_url_of_database: str
) -> None:
    session = await asyncpg.connect(worker_url_of_database)
    try:
        await session.execute(
            "INSERT INTO statements (source_id, file_id, number, kind, from_on, to_on, net,"
            " opening, closing, entry_count, line_count, previous_id)"
            " SELECT source_id, file_id, 2, kind, to_on, to_on, 7, closing, closing + 7, 1, 1, id"
            " FROM statements WHERE bank_id = 'S2'"
        )
        columns = "end_to_end, currency, booked_on, reversal, booking, amount"
        optional = (
            "valued_on, bank_ref, batch_ref, code, return_reason, counterparty, remittance,"
            " charges, original_amount, original_currency"
        )
        nulls = "NULL::date" + ", NULL::text" * 6 + ", NULL::numeric" * 2 + ", NULL::text"
        await session.execute(
            f"INSERT INTO statement_lines (statement_id, source_id, line_no, part_no, {columns},"
            " fingerprint, occurrence, status)"
            f" SELECT statement_id, source_id, 1, 0, {columns}, {FINGERPRINT}, 1, 'unmatched'"
            " FROM (SELECT max(id), max(source_id), 'INV-9'::text, 'EUR'::text, '2026-11-27'::date,"
            f" false, 'booked'::text, 7::numeric, {nulls} FROM statements) AS forged"
            f" (statement_id, source_id, {columns}, {optional})"
        )
    finally:
        await session.close()
    assert await _audited(engine) == set()
    assert await _verified(program) == ["is not in the file"]


async def test_damaged_bytes_are_named(sql: Sql, program: CommandLine) -> None:
    await _forge(
        sql,
        "UPDATE statement_file_chunks SET data = 'x'"
        " WHERE file_id = (SELECT file_id FROM statements WHERE bank_id = 'S2')",
    )
    (problem,) = await _verified(program)
    assert problem.startswith("its bytes are refused: chunk 0")


async def test_a_file_that_is_not_accepted_has_nothing_to_compare(
    sql: Sql, program: CommandLine, import_bytes: Run
) -> None:
    await import_bytes(b"Dear customer", "letter.txt")
    file_id = await sql.fetchval("SELECT id FROM statement_files WHERE status = 'quarantined'")
    status, _, err = await program("statements", "verify", str(file_id))
    assert (status, err) == (
        1,
        f"file {file_id}: is quarantined: only an accepted file has lines\n",
    )
