"""A run reads as much as it has to, whichever tables the planner takes for empty."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from recon_worker.statements.matching.undo import undo_run
from testkit.database.matching_books import Entry, Line, add_entries, add_source, add_statement
from testkit.database.plans import forget_statistics
from testkit.database.sql import Sql
from testkit.waiting import until

from .conftest import Match

PAIRS = 1_500
READS_OF_A_PAIR_MAX = 200  # Two runs and an undo read 60 to 90; each line for each is 1,500.
TABLES = (
    "statement_lines",
    "open_entries",
    "match_legs",
    "recon_matches",
    "recon_breaks",
    "statements",
    "recon_runs",
    "ledger_entries",
    "payments",
)
# As autovacuum leaves a table whose rows were deleted: with pages and no row.
SEEM_EMPTY = """
UPDATE pg_class SET reltuples = 0, relpages = 50 WHERE oid = ANY ($1::text[]::regclass[])"""
READS = """
SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = ANY ($1::text[])"""
SESSIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE usename = 'payments_worker' AND datname = current_database()"""


@pytest.mark.parametrize("empty", [(), TABLES, *((table,) for table in TABLES)], ids=str)
async def test_a_run_reads_no_more_for_wrong_statistics(
    sql: Sql, match: Match, engine: AsyncEngine, empty: tuple[str, ...]
) -> None:
    await forget_statistics(sql, TABLES)
    await sql.execute(SEEM_EMPTY, list(empty))
    source = await add_source(sql)
    wanted = [(f"{number % 90 + 1}.00", f"R-{number}") for number in range(PAIRS)]
    await add_entries(sql, [Entry(*each) for each in wanted])
    await add_statement(sql, source, [Line(*each) for each in wanted])
    before = await _reads(sql, engine)
    run = (await match()).run
    assert await undo_run(engine, source, run.id, Operator("ann"), "again") == PAIRS
    await match()
    assert await _reads(sql, engine) - before < PAIRS * READS_OF_A_PAIR_MAX


async def _reads(sql: Sql, engine: AsyncEngine) -> int:
    """Return how many index entries were read; a session reports that when it ends."""
    await engine.dispose()

    async def alone() -> bool:
        return bool(await sql.fetchval(SESSIONS) == 0)

    await until(alone)
    await sql.execute("SELECT pg_stat_clear_snapshot()")
    return int(await sql.fetchval(READS, list(TABLES)))
