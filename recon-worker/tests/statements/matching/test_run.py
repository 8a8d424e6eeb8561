"""A run: its record, its cut, suggestions, breaks, repetition and undo."""

import asyncio
from datetime import date, timedelta

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import transaction
from payments_core.matching.matches import ItemNotFound, MatchRefused, match_by_hand, undo_match
from recon_worker.statements.matching import rules
from recon_worker.statements.matching.undo import undo_run
from testkit.database.matching_books import (
    DAY,
    Entry,
    Line,
    active_matches,
    add_entries,
    add_source,
    add_statement,
    state_of,
)
from testkit.database.sql import Sql

from .conftest import Match

ANN = Operator("ann")


async def _seed(sql: Sql) -> int:
    """Two references, a batch, a suggestion, and an item on each side that has no partner."""
    source = await add_source(sql)
    await add_entries(
        sql,
        [Entry("10", "A"), Entry("11", "B"), Entry("1", "X"), Entry("2", "X"), Entry("99", "Z")],
    )
    await add_entries(sql, [Entry("5.50")])
    lines = [Line("10", "A"), Line("11", "B"), Line("3", batch_ref="X"), Line("5.50"), Line("-1")]
    await add_statement(sql, source, lines)
    return source


async def test_a_run_records_cut_rules_hashes_counts_and_verdict(sql: Sql, match: Match) -> None:
    await _seed(sql)
    run = (await match()).as_json()
    assert run["cutEntryId"] == await sql.fetchval("SELECT max(id) FROM ledger_entries")
    assert run["cutLineId"] == await sql.fetchval("SELECT max(id) FROM statement_lines")
    assert (run["ruleSet"], run["changed"]) == (1, True)
    assert run["counts"] == {
        "matches": {"reference": 2, "batch_sum": 1},
        "lines": 3,
        "entries": 4,
        "open_lines": 2,
        "suggested": 1,
        "open_entries": 2,
        "breaks": 4,
    }
    assert (run["verdict"], run["verdictOn"], run["residual"]) == ("breaks", "2026-03-02", "0.00")


async def test_a_second_run_writes_no_row(sql: Sql, match: Match) -> None:
    await _seed(sql)
    first = await match()
    before = await state_of(sql)
    again = await match()
    assert (again.changed, again.run.id) == (False, first.run.id)
    assert await state_of(sql) == before
    assert await sql.fetchval("SELECT count(*) FROM recon_runs") == 1


async def test_the_next_run_sees_a_changed_row_and_its_restoration(sql: Sql, match: Match) -> None:
    source = await _seed(sql)
    next_day = DAY + timedelta(days=1)
    await add_statement(sql, source, [], from_on=next_day, to_on=next_day, opening="28.5")
    residuals = [(await match()).run.residual]
    for change in ("0.25", "-0.25"):
        await sql.execute("SET session_replication_role = replica")
        await sql.execute(
            f"UPDATE statements SET opening = opening + {change}, closing = closing + {change}"
            f" WHERE from_on = '{next_day}'"
        )
        await sql.execute("RESET session_replication_role")
        residuals.append((await match()).run.residual)
    assert [str(each) for each in residuals] == ["0.00", "0.25", "0.00"]
    assert not (await match()).changed


async def test_new_rows_start_another_run_that_leaves_matches_alone(sql: Sql, match: Match) -> None:
    source = await _seed(sql)
    await match()
    before = await active_matches(sql)
    await add_entries(sql, [Entry("77", "LATE")])
    next_day = DAY + timedelta(days=1)
    lines = [Line("77", "LATE", day=next_day)]
    await add_statement(sql, source, lines, from_on=next_day, to_on=next_day, opening="28.5")
    outcome = await match()
    assert outcome.changed
    assert before < await active_matches(sql)
    assert outcome.as_json()["counts"]["matches"] == {"reference": 1}


async def test_the_same_inputs_give_the_same_rows_and_hashes(
    sql: Sql, engine: AsyncEngine, match: Match
) -> None:
    await _seed(sql)
    whole = await match()
    expected = await state_of(sql)
    assert await undo_run(engine, whole.run.source_id, whole.run.id, ANN, "again") == 3
    again = await match()
    assert await state_of(sql) == expected
    assert again.run.output_hash == whole.run.output_hash


async def test_undoing_a_run_restores_the_former_state(
    sql: Sql, engine: AsyncEngine, match: Match
) -> None:
    source = await _seed(sql)
    # The first run's breaks stay; what the second matches comes back, suggestions included.
    await match(as_of=DAY)
    before = await state_of(sql)
    await add_statement(sql, source, [Line("99", "Z")], opening="28.5")
    former = await state_of(sql)
    run = (await match(as_of=DAY)).run
    assert len(await active_matches(sql)) == 4
    assert await undo_run(engine, source, run.id, ANN, "a test") == 1
    after = await state_of(sql)
    assert after["entries"] == before["entries"]
    assert after["matches"] == before["matches"]
    assert after["lines"] == former["lines"]
    recorded = await sql.fetchrow("SELECT action, actor, reason, subject FROM operator_actions")
    assert recorded is not None
    assert tuple(recorded) == ("undo_run", "ann", "a test", f"run {run.id}")


async def test_an_undone_match_is_not_made_again_by_a_run(
    sql: Sql, engine: AsyncEngine, match: Match
) -> None:
    source = await _seed(sql)
    await match()
    before = await active_matches(sql)
    batch = await sql.fetchval("SELECT id FROM recon_matches WHERE rule = 'batch_sum'")
    single = await sql.fetchval("SELECT min(id) FROM recon_matches WHERE rule = 'reference'")
    for match_id in (batch, single):
        async with transaction(engine) as tx:
            await undo_match(tx, source, match_id, ANN, "wrong")
    assert len(await active_matches(sql)) == 1
    await match()
    assert len(await active_matches(sql)) == 1
    assert len(before) == 3
    async with transaction(engine) as tx:
        with pytest.raises(MatchRefused, match="has been undone by ann"):
            await undo_match(tx, source, single, ANN, "again")
        with pytest.raises(ItemNotFound):
            await undo_match(tx, source + 1, single, ANN, "another source")


async def test_breaks_have_stable_ids_and_resolve_with_their_item(
    sql: Sql, engine: AsyncEngine, match: Match
) -> None:
    source = await add_source(sql)
    entries = await add_entries(sql, [Entry("10", "A")])
    lines = await add_statement(sql, source, [Line("10", "typo")])
    await match(as_of=DAY + timedelta(days=2))
    assert await sql.fetchval("SELECT count(*) FROM recon_breaks") == 0, "within the days of grace"
    await match(as_of=DAY + timedelta(days=3))
    found = await sql.fetch("SELECT * FROM recon_breaks ORDER BY class")
    assert [(row["class"], row["item_id"], row["break_on"]) for row in found] == [
        ("bank_only", lines[0], date(2026, 3, 4)),
        ("missing_in_bank", entries[0], date(2026, 3, 4)),
    ]
    async with transaction(engine) as tx:
        match_id = await match_by_hand(tx, source, lines, entries, ANN, "a typo")
    assert await sql.fetchval("SELECT count(*) FROM recon_breaks WHERE resolved_by = 'ann'") == 2
    async with transaction(engine) as tx:
        await undo_match(tx, source, match_id, ANN, "not that one")
    await match(as_of=DAY + timedelta(days=4))
    again = await sql.fetch("SELECT * FROM recon_breaks ORDER BY class")
    assert again == found


async def test_an_entry_of_an_open_transaction_waits_for_a_later_run(
    sql: Sql, match: Match, engine: AsyncEngine, database_url: str
) -> None:
    """An id that was handed out earlier, and commits later, is not skipped."""
    import asyncpg

    await add_source(sql)
    writer = await asyncpg.connect(database_url)
    held = writer.transaction()
    await held.start()
    await writer.execute("SET LOCAL session_replication_role = replica")
    payment = "01900000-0000-7000-8000-000000000001"
    await writer.execute(
        "INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount,"
        " currency, description, status, settled_at) VALUES"
        f" ('{payment}', 'late', sha256('x'), 'acc', 3, 'EUR', '', 'completed', now())"
    )
    await writer.execute(
        "INSERT INTO ledger_entries (payment_id, account_id, currency, entry_type, direction,"
        " amount, account_seq, balance_after) VALUES"
        f" ('{payment}', 'sys:clearing:00', 'EUR', 'clearing', 'debit', 3, 1, 0)"
    )
    await add_entries(sql, [Entry("10", "A")])
    running = asyncio.create_task(match())
    await asyncio.sleep(0.5)
    assert not running.done(), "the run waits for the writer"
    await held.commit()
    await writer.close()
    await running
    found = await sql.fetch("SELECT amount FROM open_entries ORDER BY entry_id")
    assert [int(row[0]) for row in found] == [3, 10]


async def test_small_chunks_give_the_same_result(
    sql: Sql, engine: AsyncEngine, match: Match, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _seed(sql)
    run = (await match()).run
    expected = await state_of(sql)
    await undo_run(engine, run.source_id, run.id, ANN, "again")
    for name, statement in list(rules.EXACT.items()):
        small = statement.replace(f"LIMIT {rules.CHUNK_LINES}", "LIMIT 1")
        monkeypatch.setitem(rules.EXACT, name, small)
    await match()
    assert await state_of(sql) == expected


async def test_the_database_refuses_a_match_that_is_not_sound(
    sql: Sql, engine: AsyncEngine, match: Match
) -> None:
    source = await _seed(sql)
    await match()
    line, entry = await sql.fetchrow(
        "SELECT (SELECT id FROM statement_lines WHERE amount = -1),"
        " (SELECT entry_id FROM open_entries WHERE amount = 99)"
    )  # type: ignore[misc]
    insert = (
        "INSERT INTO match_legs (match_id, side, item_id, amount, booked_on, former_status)"
        f" VALUES (9, 'line', {line}, {{0}}, now(), 'unmatched'),"
        f" (9, 'entry', {entry}, {{1}}, now(), NULL)"
    )
    for amounts, constraint in (
        (("-1", "99"), "match_sides_are_equal"),
        (("99", "99"), "legs_are_of_lines_and_entries"),
    ):
        with pytest.raises(DBAPIError) as refused:
            async with transaction(engine) as tx:
                await tx.exec_driver_sql(insert.format(*amounts))
        assert constraint in str(getattr(refused.value.orig.__cause__, "constraint_name", ""))  # type: ignore[union-attr]
    for statement in (
        "UPDATE recon_matches SET undone_at = now(), undone_by = 'x';"
        "UPDATE recon_matches SET undone_at = NULL, undone_by = NULL",
        "UPDATE match_legs SET active = false; UPDATE match_legs SET active = true",
        "DELETE FROM recon_matches",
        "UPDATE recon_runs SET verdict = 'reconciled'",
        "UPDATE recon_rule_sets SET created_at = now()",
        "DELETE FROM recon_breaks",
    ):
        with pytest.raises(Exception, match="what is recorded there is never changed"):
            await sql.execute(statement)
    assert source
