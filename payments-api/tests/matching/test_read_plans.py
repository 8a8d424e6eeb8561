"""Every read of statements and matching costs what it shows or what is open, not the history."""

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_api.matching import queries
from payments_core.db.engine import transaction
from payments_core.db.keyset import Found, Walk
from payments_core.matching import breaks, bridge, candidates, history, lines, matches
from payments_core.matching.breaks import BreakFilter
from payments_core.matching.history import list_matches, list_resolved_breaks
from payments_core.matching.settlement import SETTLEMENT
from payments_core.statements import files, sources
from recon_worker.statements.matching.run import run_matching
from testkit.database.matching_books import (
    DAY,
    Entry,
    Line,
    add_entries,
    add_source,
    add_statement,
)
from testkit.database.plans import Read, blocks_read, forget_statistics, whole_table_scans
from testkit.database.sql import Sql

Reading = Callable[[AsyncConnection, int], Awaitable[Any]]

DAYS, EACH_DAY = 40, 100
SOURCES = 4
LIMIT = 26
EXAMINED = 1_000  # Rows of the history that one request examines here.
BLOCKS_MAX = 220  # A page of rows with their look-ups; each table of the history has more blocks.
LAST_ON = DAY + timedelta(days=DAYS - 1)
# Statements and files are left out: a day's few are read at once while they fit into few blocks.
HISTORY = (
    *("statement_lines", "open_entries", "ledger_entries", "payments"),
    *("recon_matches", "match_legs", "recon_breaks"),
)
# Of every match there was a break, and of every day a run.
PAST = """
INSERT INTO recon_breaks (id, source_id, class, side, item_id, amount, opened_on, break_on,
                          resolved_at, resolved_by)
SELECT encode(sha256(convert_to(
           concat_ws('|', source_id, 'bank_only', 'line', id), 'UTF8')), 'hex'),
       source_id, 'bank_only', 'line', id, amount, booked_on, booked_on + 2, now(), 'run 1'
FROM statement_lines WHERE status = 'matched';
INSERT INTO recon_runs (source_id, as_of, cut_entry_id, cut_line_id, rule_set, input_hash,
                        counts, output_hash, verdict, finished_at)
SELECT id, '2026-03-02', 0, 0, 1, sha256('x'), '{}', sha256('x'), 'breaks', now()
FROM recon_sources, generate_series(1, 500)"""


async def _history(sql: Sql, engine: AsyncEngine) -> None:
    """Fill four sources with 40 days of 100 matched lines each; five on either side stay open."""
    for number in range(SOURCES):
        name = f"bank-{number}"
        source = await add_source(sql, name, channel=name)
        for day in range(DAYS):
            on = DAY + timedelta(days=day)
            pairs = [(f"{day}-{n}", Decimal(n + 1)) for n in range(EACH_DAY)]
            entries = [Entry(amount, reference, on) for reference, amount in pairs]
            booked = [Line(amount, reference, on) for reference, amount in pairs]
            if day == DAYS - 1:
                entries += [Entry("7.77", f"missing-{n}", on) for n in range(5)]
                booked += [Line("-0.50", f"{day}-{n}", on) for n in range(5)]  # Returns.
            await add_entries(sql, entries, channel=name)
            await add_statement(sql, source, booked, from_on=on, to_on=on, opening=None)
        async with transaction(engine) as tx:
            row = await sources.find_source(tx, name, None)
        await run_matching(engine, row, LAST_ON + timedelta(days=9))
    await sql.execute("SET session_replication_role = replica")
    await sql.execute(PAST)
    await sql.execute("RESET session_replication_role")


async def _forget_or_know(sql: Sql, known: str) -> None:
    """Give the planner statistics of nothing, or of everything."""
    if known == "everything":
        await sql.execute("VACUUM ANALYZE")
    else:
        await forget_statistics(sql, (*HISTORY, "statements", "recon_runs"))


def _page(walk: Walk[Any] | None = None) -> Walk[Any]:
    return walk or Walk(list_descends=False)


async def _file(tx: AsyncConnection, source: int) -> UUID:
    return UUID(str((await files.list_files(tx, 1, source_id=source))[0].id))


async def _of_file(tx: AsyncConnection, source: int) -> Any:
    file_id = await _file(tx, source)
    row = await files.find_file(tx, file_id)
    assert len(await files.statements_of(tx, file_id)) == 1
    assert await files.read_chunk(tx, file_id, 0) == b""
    return [row, *await files.lines_of(tx, file_id, LIMIT, _page())]


async def _of_match(tx: AsyncConnection, source: int) -> Any:
    query = "SELECT match_id FROM match_legs ORDER BY match_id DESC LIMIT 1"
    number = (await tx.exec_driver_sql(query)).scalar_one()
    return [await queries.find_match(tx, source, number), *await queries.legs_of(tx, number)]


async def _of_line(tx: AsyncConnection, source: int) -> Any:
    (first, *_) = await queries.list_open_lines(tx, source, None, 1, _page())
    found = await candidates.describe_line(tx, first.id)
    assert found is not None
    assert found.proposed_reversal() is not None
    return [await queries.find_line(tx, source, first.id), found]


async def _of_break(tx: AsyncConnection, source: int) -> Any:
    (first, *_) = await breaks.list_breaks(tx, source, BreakFilter(), 1)
    item = first.row.side, first.row.item_id
    return [
        await breaks.find_break(tx, source, first.row.id, None, None),
        await breaks.find_break(tx, source, None, *item),
    ]


async def _of_payment(tx: AsyncConnection, source: int) -> Any:
    query = "SELECT payment_id FROM ledger_entries ORDER BY id LIMIT 1"
    payment_id = (await tx.exec_driver_sql(query)).scalar_one()
    settlement = f"SELECT {SETTLEMENT} FROM payments WHERE id = $1"
    return [(await tx.exec_driver_sql(settlement, (payment_id,))).scalar_one()]


async def _bridge(tx: AsyncConnection, source: int) -> Any:
    on = await bridge.last_covered_day(tx, source, LAST_ON)
    assert on == LAST_ON
    return [await bridge.read_bridge(tx, source, on, LAST_ON + timedelta(days=9))]


async def _sources(tx: AsyncConnection, source: int) -> Any:
    row = await sources.find_source(tx, "bank-1", None)
    return [await sources.other_accounts(tx, row), *await sources.list_sources(tx, None, LIMIT)]


def _breaks(which: BreakFilter | None = None, **order: Any) -> Reading:
    return lambda tx, source: breaks.list_breaks(tx, source, which or BreakFilter(), LIMIT, **order)


def _entries(**filters: Any) -> Reading:
    return lambda tx, source: queries.list_open_entries(tx, source, LIMIT, _page(), **filters)


def _files(**filters: Any) -> Reading:
    return lambda tx, source: files.list_files(tx, LIMIT, **filters)


def _of_history(read: Callable[..., Awaitable[Found[Any]]], **filters: Any) -> Reading:
    async def reading(tx: AsyncConnection, source: int) -> Any:
        return (await read(tx, source, LIMIT, **filters)).rows

    return reading


async def _of_run(tx: AsyncConnection, source: int) -> Any:
    (newest,) = (await list_matches(tx, source, 1)).rows
    return (await list_matches(tx, source, LIMIT, run_id=newest.run_id)).rows


# A read → the rows that it finds.
READS: dict[str, tuple[Reading, int]] = {
    "breaks by age": (_breaks(), 10),
    "breaks by amount": (_breaks(order="amount"), 10),
    "breaks after one": (_breaks(walk=Walk(("line", 2**62), list_descends=False)), 0),
    "breaks of a class": (_breaks(BreakFilter("bank_only")), 5),
    "breaks of a person": (_breaks(BreakFilter(assignee="ann")), 0),
    "breaks of an age": (_breaks(BreakFilter(to_on=date(2026, 1, 1))), 0),
    "open lines": (lambda tx, s: queries.list_open_lines(tx, s, None, LIMIT, _page()), 5),
    "suggested": (lambda tx, s: queries.list_open_lines(tx, s, "suggested", LIMIT, _page()), 5),
    "open entries": (_entries(), 5),
    "open entries of a reference": (_entries(reference="missing-1"), 1),
    "open entries of an amount": (_entries(amount=Decimal("7.77")), 5),
    "runs": (lambda tx, s: queries.list_runs(tx, s, LIMIT, Walk()), LIMIT),
    "matches": (_of_history(list_matches), LIMIT),
    "undone matches": (_of_history(list_matches, status="undone"), 0),
    "matches of a run": (_of_run, LIMIT),
    "resolved breaks": (_of_history(list_resolved_breaks), LIMIT),
    "resolved breaks of a person": (_of_history(list_resolved_breaks, assignee="ann"), 0),
    "a line": (_of_line, 2),
    "a break": (_of_break, 2),
    "a match": (_of_match, 4),
    "a payment": (_of_payment, 1),
    "a day": (_bridge, 1),
    "sources": (_sources, SOURCES + 1),
    "a file": (_of_file, LIMIT + 1),
    "files": (_files(), LIMIT),
    "quarantined files": (_files(status="quarantined"), 0),
}


def _of_source(reading: Reading, source: int) -> Read:
    return lambda tx: reading(tx, source)


async def test_each_read_costs_a_bounded_number_of_blocks(
    sql: Sql, engine: AsyncEngine, api_url_of_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "EXAMINED_MAX", EXAMINED)
    await _history(sql, engine)
    source = await sql.fetchval("SELECT max(id) FROM recon_sources")
    costs: dict[str, dict[str, int]] = {}
    for known in ("nothing", "everything"):
        await _forget_or_know(sql, known)
        for name, (reading, expected) in READS.items():
            rows, blocks = await blocks_read(api_url_of_database, _of_source(reading, source))
            assert rows == expected, name
            costs.setdefault(known, {})[name] = blocks
    assert {
        known: {name: blocks for name, blocks in each.items() if blocks > BLOCKS_MAX}
        for known, each in costs.items()
    } == {"nothing": {}, "everything": {}}


# Statements of acts, which the tests above do not send: with the arguments of EXECUTE.
ACTS = {
    "lock lines": (matches.LOCK_LINES, "1, '{1, 2}'"),
    "take entries": (matches.TAKE_ENTRIES, "1, '{1, 2}'"),
    "match": (
        matches.MATCH_BY_HAND,
        "1, 1, 'ann', 'why', '{line}', '{1}', '{1}', '{2026-03-02}', '{unmatched}', '{NULL}'",
    ),
    "find a match": (matches.FIND_MATCH, "1, 1"),
    "undo": (matches.UNDO, "'{1}', 'ann', 'why', 1"),
    "set aside": (lines.SET_STATUS, "1, 'explained', 'fee'"),
    "resolve": (lines.RESOLVE, "1, true, 'ann'"),
    "annotate": (breaks.ANNOTATE, "'x', 'ann', 'note', 1"),
}


@pytest.mark.parametrize("known", ["nothing", "everything"])
async def test_no_act_reads_a_whole_table(
    sql: Sql, engine: AsyncEngine, api_url_of_database: str, known: str
) -> None:
    await _history(sql, engine)
    await _forget_or_know(sql, known)
    connection = await asyncpg.connect(api_url_of_database)
    try:
        assert await whole_table_scans(connection, ACTS, HISTORY) == {}
    finally:
        await connection.close()
