"""The rules look candidates up by the partial indexes over what is open, whatever is known."""

import random
import re
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from payments_core.matching.matches import UNDO
from recon_worker.statements.matching import batch_details, cut, rules, suggestions
from recon_worker.statements.matching.undo import undo_run
from testkit.database.matching_books import Entry, Line, add_entries, add_source, add_statement
from testkit.database.plans import forget_statistics
from testkit.database.sql import Sql

from .conftest import Match

LINES = 2_000
STATES = 60
STATEMENTS = {
    "reference": (rules.EXACT["reference"], "1, 0, 1000000, 1"),
    "bank_reference": (rules.EXACT["bank_reference"], "1, 0, 1000000, 1"),
    "batch_sum": (rules.EXACT["batch_sum"], "1, '', 1000000, 1"),
    "batch details": (batch_details.BATCH_DETAILS, "1, 0, 1000000, 1, '2026-03-12'"),
    "amount_and_date": (rules.AMOUNT_AND_DATE, "1, 0, 1000000, 1, 5"),
    "suggest": (suggestions.SUGGEST, "1, 0, 1000000, 5, 0, true"),
    "cut": (cut.MOVE, "1, 0, 1000000"),
    "undo": (UNDO, f"'{{{','.join(map(str, range(1, 4001)))}}}', 'ann', NULL, 1"),
    "break lines": (rules.BREAK_LINES, "1, 0, 1000000, '2026-03-12'"),
    "break entries": (rules.BREAK_ENTRIES, "1, '-infinity', 0, '2026-03-12'"),
}
# Alias or table → the only indexes by which it may be read.
ALLOWED = {
    "rival": {
        "statement_lines_open_by_reference",
        "statement_lines_open_by_bank_reference",
        "statement_lines_open_by_amount",
        "statement_lines_open_by_batch",
    },
    "detail": {"statement_lines_set_aside"},
    "entry": {"open_entries_by_reference", "open_entries_by_amount"},
    "was": {"match_legs_by_undone_line"},
    "partner": {"match_legs_pkey"},
}


async def _plans(ours: Any) -> dict[str, str]:
    found = {}
    for name, (statement, arguments) in STATEMENTS.items():
        transaction = ours.transaction()
        await transaction.start()
        await ours.execute(batch_details.PLAN if name == "batch details" else rules.PLAN)
        await ours.execute(f"PREPARE rule AS {statement}")
        rows = await ours.fetch(f"EXPLAIN EXECUTE rule({arguments})")
        found[name] = "\n".join(row[0] for row in rows)
        await ours.execute("DEALLOCATE rule")
        await transaction.rollback()
    return found


def _check(plans: dict[str, str], *, mostly_matched: bool) -> None:
    for name, plan in plans.items():
        assert "Seq Scan" not in plan, (name, plan)
        assert not re.search(r"Join Filter: .*legs", plan), (name, plan)
        if name in ("undo", "cut"):
            for key in ("payment_id", "reversal_id"):
                assert re.search(rf"Index Cond: \(id = entry\.{key}\)", plan), (name, plan)
            once = "match_legs_item_matched_once on match_legs freed_leg"
            assert name == "cut" or once in plan, plan
            continue
        for alias, indexes in ALLOWED.items():
            used = set(re.findall(rf"using (\w+) on \w+ {alias} ", plan))
            assert used <= indexes, (name, alias, plan)
        if name in ("reference", "bank_reference"):
            assert re.search(r"(using|Index Scan on) open_entries_by_reference", plan), plan
        if mostly_matched:
            chunk = re.findall(r"using (\w+) on statement_lines  \(", plan)
            assert all(index.startswith("statement_lines_open") for index in chunk), (name, plan)


@pytest.mark.parametrize(
    "known", ["nothing", "empty tables", "all open", "everything", "mostly matched"]
)
async def test_no_rule_reads_more_than_what_is_open(
    sql: Sql, worker_connection: Sql, known: str
) -> None:
    if known == "empty tables":
        await sql.execute("ANALYZE statement_lines, open_entries, match_legs, recon_breaks")
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", f"R-{n}") for n in range(LINES)])
    lines = [Line("10", f"R-{n}", bank_ref=f"B-{n}", batch_ref="X") for n in range(LINES)]
    await add_statement(sql, source, lines)
    await sql.execute(cut.BEGIN, source)
    await sql.execute(cut.MOVE, source, 0, 2**60)
    if known == "mostly matched":
        await sql.execute("UPDATE statement_lines SET status = 'matched' WHERE id % 50 <> 0")
        await sql.execute("DELETE FROM open_entries WHERE entry_id % 50 <> 0")
    if known in ("all open", "mostly matched"):
        await sql.execute("VACUUM ANALYZE statement_lines, open_entries, match_legs")
    elif known == "everything":
        await sql.execute("VACUUM ANALYZE")
    elif known == "nothing":
        await forget_statistics(sql, ("statement_lines", "open_entries", "match_legs"))
    _check(await _plans(worker_connection), mostly_matched=known == "mostly matched")


# Tuples and pages, as a table or an index may have them in the catalogue.
ESTIMATES = ((-1, 0), (0, 0), (0, 1), (0, 50), (3, 1), (1e4, 100), (1e7, 200_000))
RELATIONS = """
SELECT oid::bigint FROM pg_class WHERE oid = ANY ($1::text[]::regclass[]) UNION ALL
SELECT indexrelid FROM pg_index WHERE indrelid = ANY ($1::text[]::regclass[]) ORDER BY 1"""


async def test_no_estimate_makes_a_rule_read_more(
    sql: Sql, match: Match, engine: AsyncEngine, worker_connection: Sql
) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", f"R-{n}") for n in range(LINES)])
    lines = [Line("10", f"R-{n}", bank_ref=f"B-{n}", batch_ref="X") for n in range(LINES)]
    await add_statement(sql, source, lines)
    run = (await match()).run
    await undo_run(engine, source, run.id, Operator("ann"), "again")
    tables = ("statement_lines", "open_entries", "match_legs", "recon_matches", "statements")
    relations = [row[0] for row in await sql.fetch(RELATIONS, tables)]
    chance = random.Random(7)
    for number in range(STATES):
        if number % 5 == 0:
            await sql.execute(f"ANALYZE {', '.join(tables)}")
        elif number % 5 == 2:
            await forget_statistics(sql, tables)
        estimates = [chance.choice(ESTIMATES) for _ in relations]
        await sql.executemany(
            "UPDATE pg_class SET reltuples = $2, relpages = $3 WHERE oid = $1::bigint::oid",
            [(oid, *each) for oid, each in zip(relations, estimates, strict=True)],
        )
        _check(await _plans(worker_connection), mostly_matched=False)
    await forget_statistics(sql, tables)  # The next tests would be planned by these.


async def test_an_undo_is_planned_like_a_run(sql: Sql, match: Match, engine: AsyncEngine) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "R")])
    await add_statement(sql, source, [Line("10", "R")])
    run = (await match()).run
    sent: list[str] = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def remember(_c: Any, _cursor: Any, text: str, *_: Any) -> None:
        sent.append(text)

    assert await undo_run(engine, source, run.id, Operator("ann"), "again") == 1
    assert sent[sent.index(UNDO) - 1] == rules.PLAN
