"""Two runs, two operators and a kill: one match of each item, and the same result."""

import asyncio
import signal
from datetime import date, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import create_engine, transaction
from payments_core.matching.lines import set_aside
from payments_core.matching.matches import MatchRefused, match_by_hand
from recon_worker.audit.matching import MATCHING_INVARIANTS
from recon_worker.statements.matching import rules
from recon_worker.statements.matching.rule_sets import take_rules
from recon_worker.statements.matching.undo import undo_run
from testkit.database.ledgers.settled import findings_of
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
from testkit.waiting import until

from ..conftest import Fork
from .conftest import Match

ANN, BOB = Operator("ann"), Operator("bob")


async def _seed(sql: Sql, count: int = 60) -> tuple[int, list[int], list[int]]:
    source = await add_source(sql)
    entries = [Entry("10", f"R-{n}") for n in range(count)] + [Entry("1", "B"), Entry("2", "B")]
    entry_ids = await add_entries(sql, entries)
    lines = [Line("10", f"R-{n}") for n in range(count)]
    lines += [Line("3", batch_ref="B"), Line("4", "nothing")]
    return source, await add_statement(sql, source, lines), entry_ids


async def test_two_runs_at_once_make_each_match_once(sql: Sql, match: Match) -> None:
    await _seed(sql)
    await asyncio.gather(match(), match(), match())
    assert len(await active_matches(sql)) == 61
    assert await sql.fetchval("SELECT count(*) FROM recon_matches") == 61
    assert await sql.fetchval("SELECT count(*) FROM recon_runs WHERE finished_at IS NULL") == 0


async def test_two_operators_match_one_entry_once(
    sql: Sql, engine: AsyncEngine, match: Match
) -> None:
    source = await add_source(sql)
    entries = await add_entries(sql, [Entry("10", "A")])
    lines = await add_statement(sql, source, [Line("10", "x"), Line("10", "y")])
    await match()

    async def act(line: int, operator: Operator) -> bool:
        try:
            async with transaction(engine) as tx:
                await match_by_hand(tx, source, [line], entries, operator, "mine")
        except MatchRefused:
            return False
        return True

    done = await asyncio.gather(act(lines[0], ANN), act(lines[1], BOB), act(lines[0], BOB))
    assert sum(done) == 1
    assert len(await active_matches(sql)) == 1
    assert await sql.fetchval("SELECT count(*) FROM open_entries") == 0


async def test_a_run_repeats_a_chunk_that_an_operator_overtook(
    sql: Sql, engine: AsyncEngine, match: Match
) -> None:
    source, lines, entries = await _seed(sql)
    async with transaction(engine) as tx:
        await take_rules(tx, source, '{"rules": []}')
    await match()  # Opens the entries, and has no rule to match them.
    async with transaction(engine) as tx:
        await tx.exec_driver_sql("UPDATE recon_sources SET rule_set = 1")
    async with engine.connect() as held:
        await match_by_hand(held, source, [lines[5]], [entries[5]], ANN, "faster")
        running = asyncio.create_task(match())
        await asyncio.sleep(0.5)
        assert not running.done(), "the run waits for the operator's line"
        await held.commit()
        await running
    found = await active_matches(sql)
    assert ("manual", (lines[5],), (entries[5],)) in found
    assert len(found) == 61


@pytest.mark.parametrize(
    "point",
    [
        "after_cut_chunk 1",
        "after_run_start 1",
        "in_match_chunk 1",
        "after_match_chunk 1",
        "in_match_chunk 4",
        "after_match_chunk 6",
        "before_run_finish 1",
    ],
)
async def test_a_killed_run_goes_on_to_the_same_result(
    sql: Sql, engine: AsyncEngine, match: Match, fork: Fork, point: str
) -> None:
    source, _, _ = await _seed(sql)
    words = ("reconcile", "run", "bank", "--as-of", "2026-03-12")
    status, _ = await fork(*words, kill=point)
    assert status == -signal.SIGKILL
    again = await match()
    assert again.changed
    resumed = await state_of(sql)
    counts = again.as_json()["counts"]
    await undo_run(engine, source, again.run.id, ANN, "compare")
    whole = await match()
    assert await state_of(sql) == resumed
    assert whole.as_json()["counts"] == counts
    assert whole.run.output_hash == again.run.output_hash
    assert len(await active_matches(sql)) == 61


async def test_a_killed_undo_is_finished_by_the_same_command(
    sql: Sql, engine: AsyncEngine, match: Match, fork: Fork
) -> None:
    source, _, _ = await _seed(sql)
    number = (await match()).run.id
    words = ("reconcile", "undo", "bank", "--run", str(number), "--reason", "a test", "--yes")
    status, _ = await fork(*words, kill="after_undo_chunk 1")
    assert status == -signal.SIGKILL
    await undo_run(engine, source, number, ANN, "again")
    assert await active_matches(sql) == set()
    assert await sql.fetchval("SELECT count(*) FROM open_entries") == 62
    assert await sql.fetchval("SELECT count(*) FROM operator_actions") == 1


async def test_an_item_closed_while_its_break_opens_is_no_break_after_the_next_run(
    sql: Sql, engine: AsyncEngine, match: Match
) -> None:
    source = await add_source(sql)
    (entry,) = await add_entries(sql, [Entry("10", "A")])
    fee, line = await add_statement(sql, source, [Line("-1"), Line("10", "B")])
    await match(as_of=DAY)
    late = DAY + timedelta(days=10)
    async with sql.transaction():
        await sql.execute(rules.BREAK_LINES, source, 0, 2**40, late)
        await sql.execute(rules.BREAK_ENTRIES, source, date.min, 0, late)
        async with transaction(engine) as tx:
            await set_aside(tx, source, fee, "explain", ANN, "a fee")
            await match_by_hand(tx, source, [line], [entry], ANN, "the same")
    assert await sql.fetchval("SELECT count(*) FROM recon_breaks WHERE resolved_at IS NULL") == 3
    assert (await match(as_of=late)).as_json()["counts"]["breaks"] == 0


async def test_a_run_leaves_no_break_of_an_item_that_is_being_closed_at_its_end(
    sql: Sql, engine: AsyncEngine, match: Match, api_url_of_database: str
) -> None:
    source = await add_source(sql)
    (entry,) = await add_entries(sql, [Entry("10", "A")])
    fee, line = await add_statement(sql, source, [Line("-1"), Line("10", "B")])
    await match(as_of=DAY)
    api = create_engine(api_url_of_database, application_name="test", pool_size=1)
    async with api.connect() as page:
        await set_aside(page, source, fee, "explain", ANN, "a fee")
        await match_by_hand(page, source, [line], [entry], ANN, "the same")
        running = asyncio.create_task(match(as_of=DAY + timedelta(days=10)))
        await until(lambda: _has_breaks(sql, 3))
        await asyncio.wait({running}, timeout=1)  # The run would end without the wait.
        await page.commit()
    outcome = await running
    await api.dispose()
    assert outcome.as_json()["counts"]["breaks"] == 0
    assert await sql.fetchval("SELECT count(*) FROM recon_breaks WHERE resolved_at IS NULL") == 0


async def _has_breaks(sql: Sql, number: int) -> bool:
    return bool(await sql.fetchval("SELECT count(*) = $1 FROM recon_breaks", number))


async def test_an_undo_beside_runs_leaves_every_item_open_or_matched_once(
    sql: Sql, engine: AsyncEngine, match: Match
) -> None:
    source, _, _ = await _seed(sql)
    number, late = (await match()).run.id, DAY + timedelta(days=20)
    undoing = undo_run(engine, source, number, ANN, "again")
    await asyncio.gather(undoing, match(as_of=late), match(as_of=late))
    found = await findings_of(engine, "full")
    assert [each.name for each in MATCHING_INVARIANTS if found[each.name].offending] == []
    await match(as_of=late + timedelta(days=1))
    assert len(await active_matches(sql)) == 61
