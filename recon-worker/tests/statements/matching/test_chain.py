"""The bridge along a chain of statements, whatever order and shape the bank sends them in."""

import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.matching.bridge import STATEMENTS
from recon_worker.statements.importing.load import import_next
from testkit.camt_files import camt053
from testkit.command_line import CommandLine
from testkit.database.matching_books import Line, add_source, add_statement
from testkit.database.sql import Sql
from testkit.statements import csv_profile

from ..conftest import Run
from .arrivals import CASES, ONE, TWO
from .conftest import Match
from .days import AS_OF, accept_all, assert_statements_hold, bridge, on, statement


@pytest.mark.parametrize("name", CASES)
async def test_every_day_adds_up_with_what_was_accepted(
    sql: Sql, engine: AsyncEngine, program: CommandLine, import_bytes: Run, match: Match, name: str
) -> None:
    case, quarantined = CASES[name], 0
    for number, day in enumerate(case.arrivals):
        await import_bytes(camt053(day, message_id=f"M-{number}"))
        quarantined += await accept_all(sql, program)
    assert quarantined == case.quarantined
    await match("bank-eur", as_of=AS_OF)
    found = {day: await bridge(sql, engine, day) for day in case.accepted}
    assert {day: each.residual for day, each in found.items()} == dict.fromkeys(found, 0)
    assert {day: each.accepted for day, each in found.items()} == {
        day: Decimal(amount) for day, amount in case.accepted.items()
    }
    assert {each.incomplete_because for each in found.values()} == {None}
    await assert_statements_hold(engine)


async def test_an_earlier_page_with_known_lines_alone_is_never_guessed(
    sql: Sql, program: CommandLine, import_bytes: Run
) -> None:
    for opening in ("101.00", "100.00"):
        await import_bytes(camt053(statement(1, 1, {1: "1.00"}, opening), message_id=opening))
    assert await sql.fetchval("SELECT max(problem_code) FROM statement_files") == "overlap"
    assert await accept_all(sql, program) == 1
    assert await sql.fetchval("SELECT sum(amount) FROM statement_lines") == 2


async def test_a_week_that_overlaps_a_page_waits_for_the_page_before(
    sql: Sql, engine: AsyncEngine, import_bytes: Run
) -> None:
    waiting = "SELECT problem_code FROM statement_files WHERE status <> 'accepted'"
    for day in CASES["the second page of a first day, and then the week"].arrivals:
        await import_bytes(camt053(day))
    assert await sql.fetchval(waiting) == "overlap"
    await import_bytes(camt053(statement(1, 2, {1: "1.00"}, "100.00"), message_id="page 1"))
    while await import_next(engine) is not None:
        """The week."""
    assert await sql.fetchval(waiting) is None


# What the second statement lacks, the opening balance of the third → the differences accepted.
WITHOUT_A_BALANCE = {
    "no closing balance, and the next counts its lines": ("CLBD", "102.00", ["0", "0", "0"]),
    "no closing balance, and the next does not": ("CLBD", "101.00", ["0", "0", "-1.00"]),
    "no opening balance": ("OPBD", "102.00", ["0", "0", "0"]),
}


@pytest.mark.parametrize("is_first", [False, True])
@pytest.mark.parametrize("case", WITHOUT_A_BALANCE)
async def test_an_accepted_statement_without_a_balance_leaves_no_residual(
    sql: Sql,
    engine: AsyncEngine,
    program: CommandLine,
    import_bytes: Run,
    match: Match,
    case: str,
    is_first: bool,
) -> None:
    code, opening, accepted = WITHOUT_A_BALANCE[case]
    balance = rf"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd>.*?</Bal>".encode()
    files = [camt053(TWO), camt053(statement(3, 3, {3: "1.00"}, opening))]
    files[0] = re.sub(balance, b"", files[0])
    for file in files if is_first else [camt053(ONE), *files]:
        await import_bytes(file)
        await accept_all(sql, program)
    await match("bank-eur", as_of=AS_OF)
    found = [await bridge(sql, engine, day) for day in (1, 2, 3)]
    assert [each.residual for each in found] == [0, 0, 0]
    if not is_first:
        assert [each.accepted for each in found] == [Decimal(amount) for amount in accepted]


async def test_a_changed_balance_is_a_residual_beside_an_accepted_difference(
    sql: Sql, engine: AsyncEngine, program: CommandLine, import_bytes: Run, match: Match
) -> None:
    for day in CASES["a statement that does not close"].arrivals:
        await import_bytes(camt053(day))
        await accept_all(sql, program)
    await import_bytes(camt053(statement(4, 4, {4: "1.00"}, "91.00")))
    await match("bank-eur", as_of=AS_OF)
    await sql.execute("SET session_replication_role = replica")
    await sql.execute(
        "UPDATE statements SET opening = opening + 0.01, closing = closing + 0.01"
        " WHERE from_on = '2026-09-04'"
    )
    await sql.execute("RESET session_replication_role")
    found = [await bridge(sql, engine, day) for day in (3, 4)]
    assert [(each.accepted, each.residual) for each in found] == [
        (Decimal("-12.00"), Decimal("0.00")),
        (Decimal("-12.00"), Decimal("0.01")),
    ]
    assert found[1].verdict == "breaks"


async def test_a_report_is_stored_beside_a_changed_balance(
    sql: Sql, engine: AsyncEngine, import_bytes: Run
) -> None:
    for day in (ONE, TWO):
        await import_bytes(camt053(day))
    await sql.execute("SET session_replication_role = replica")
    await sql.execute(
        "UPDATE statements SET opening = opening + 1, closing = closing + 1"
        " WHERE from_on = '2026-09-02'"
    )
    await sql.execute("RESET session_replication_role")
    report = camt053(statement(2, 2, {2: "7.00"}, "101.00"), message_id="R")
    for of_statement, of_report in (
        (b"camt.053.001.08", b"camt.052.001.08"),
        (b"BkToCstmrStmt", b"BkToCstmrAcctRpt"),
        (b"<Stmt>", b"<Rpt>"),
        (b"</Stmt>", b"</Rpt>"),
    ):
        report = report.replace(of_statement, of_report)
    status, _out, err = await import_bytes(report)
    assert status == 0, err
    assert await sql.fetchval("SELECT count(*) FROM statements WHERE kind = 'report'") == 1


async def test_files_without_balances_have_no_gap(
    sql: Sql, engine: AsyncEngine, program: CommandLine, tmp_path: Path, match: Match
) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps(csv_profile()))
    words = ("--account", "SHOP", "--currency", "EUR", "--format", "csv", "--profile", str(profile))
    assert (await program("sources", "add", "shop", *words))[0] == 0
    for day in (1, 2):
        file = tmp_path / f"{day}.csv"
        file.write_text(f"Datum;Betrag;Text\n{day:02}.09.2026;7,50;x\n")
        status, _out, err = await program("statements", "import", str(file), "--source", "shop")
        assert status == 0, err
    await match("shop", as_of=AS_OF)
    found = [await bridge(sql, engine, day) for day in (1, 2)]
    assert [(each.incomplete_because, each.closing) for each in found] == [
        (None, Decimal("7.50")),
        (None, Decimal("15.00")),
    ]
    assert [each.residual for each in found] == [0, 0]


async def test_a_chain_without_overlaps_is_read_without_its_lines(sql: Sql) -> None:
    source = await add_source(sql)
    balance = Decimal(100)
    for day in range(1, 29):
        booked_on = date.fromisoformat(on(day))
        lines = [Line("1.00", f"E-{day}-{number}", booked_on) for number in range(100)]
        await add_statement(sql, source, lines, from_on=booked_on, to_on=booked_on, opening=balance)
        balance += 100
    await sql.execute("VACUUM ANALYZE statements, statement_lines")
    await sql.execute(f"PREPARE chain AS {STATEMENTS}")
    plan = await sql.fetch(f"EXPLAIN (ANALYZE, COSTS OFF) EXECUTE chain({source}, '{on(20)}')")
    reads = [row[0] for row in plan if " on statement_lines" in row[0]]
    assert reads
    assert all(each.endswith("(never executed)") for each in reads), "\n".join(r[0] for r in plan)
