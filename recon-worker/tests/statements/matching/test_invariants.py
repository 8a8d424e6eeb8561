"""The auditor names each matched, open or counted row that was changed behind the guards."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import transaction
from payments_core.matching.lines import set_aside
from payments_core.matching.matches import undo_match
from recon_worker.audit.matching import MATCHING_INVARIANTS
from testkit.database.ledgers.settled import break_ledger, findings_of
from testkit.database.matching_books import Entry, Line, add_entries, add_source, add_statement
from testkit.database.sql import Sql

from .conftest import Match

OURS = {each.name for each in MATCHING_INVARIANTS}


@pytest.fixture
async def matched(sql: Sql, match: Match, engine: AsyncEngine) -> None:
    """A reference, a batch, a match that was undone, and an open item on each side."""
    source = await add_source(sql)
    acme = await add_source(sql, "acme", tenant="acme")
    await add_entries(sql, [Entry("10", "A"), Entry("1", "B"), Entry("2", "B"), Entry("7", "C")])
    await add_entries(sql, [Entry("5", "T", account="acme~x"), Entry("9", "open")])
    lines = [Line("10", "A"), Line("3", batch_ref="B"), Line("7", "C"), Line("-1"), Line("-2")]
    await add_statement(sql, source, lines)
    await add_statement(sql, acme, [Line("5", "T")])
    await match()
    await match("acme", tenant="acme")
    async with transaction(engine) as tx:
        undone = await sql.fetchval("SELECT id FROM recon_matches WHERE why LIKE '%C'")
        await undo_match(tx, source, undone, Operator("ann"), "a test")
        fee = await sql.fetchval("SELECT id FROM statement_lines WHERE amount = -2")
        await set_aside(tx, source, fee, "explain", Operator("ann"), "a fee")


async def _broken(engine: AsyncEngine, mode: str = "full") -> set[str]:
    found = await findings_of(engine, mode)  # type: ignore[arg-type]
    return {name for name in OURS if found[name].offending}


@pytest.mark.usefixtures("matched")
async def test_honest_matches_hold_in_both_modes(engine: AsyncEngine, sql: Sql) -> None:
    assert await _broken(engine, "incremental") == set()
    assert await sql.fetchval("SELECT matches_verified_to FROM audit_progress") == 4
    assert await _broken(engine) == set()


FORGERIES = {
    "a leg's amount": ("UPDATE match_legs SET amount = 9.99 WHERE side = 'line'", "match_legs"),
    "a leg's day": ("UPDATE match_legs SET booked_on = booked_on + 1", "match_legs"),
    "a line's amount": (
        "UPDATE statement_lines SET amount = 10.01 WHERE end_to_end = 'A'",
        "match_legs",
    ),
    "an entry's amount": ("UPDATE ledger_entries SET amount = 11 WHERE id = 1", "match_legs"),
    "a match of another source": ("UPDATE recon_matches SET source_id = 999", "match_legs"),
    "a match without its legs": ("DELETE FROM match_legs WHERE match_id = 1", "match_legs"),
    "legs without their match": ("DELETE FROM recon_matches WHERE id = 1", "match_legs"),
    "an undone match": (
        "UPDATE recon_matches SET undone_at = NULL, undone_by = NULL, undone_reason = NULL",
        "match_legs",
    ),
    "a score": ("UPDATE recon_matches SET score = 1", "match_legs"),
    "a line's status": (
        "UPDATE statement_lines SET status = 'unmatched' WHERE end_to_end = 'A'",
        "line_matched",
    ),
    "a line that claims a match": (
        "UPDATE statement_lines SET status = 'matched' WHERE amount = -1",
        "line_matched",
    ),
    "a line set aside without a record": (
        "UPDATE statement_lines SET status = 'explained', status_reason = 'x' WHERE amount = -1",
        "line_matched",
    ),
    "an entry that vanished": ("DELETE FROM open_entries WHERE amount = 9", "entry_matched"),
    "an open entry's amount": ("UPDATE open_entries SET amount = 8", "entry_matched"),
    "an open entry's reference": ("UPDATE open_entries SET reference = 'x'", "entry_matched"),
    "an entry both open and matched": (
        "INSERT INTO open_entries SELECT 1, source_id, payment_id, amount, currency, reference,"
        " booked_on, break_on FROM open_entries LIMIT 1",
        "entry_matched",
    ),
    "a day's sum": ("UPDATE recon_days SET amount = amount + 0.01", "bridge"),
    "a day that vanished": ("DELETE FROM recon_days", "bridge"),
}


@pytest.mark.usefixtures("matched")
@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forgery_is_named(sql: Sql, engine: AsyncEngine, forgery: str) -> None:
    statement, invariant = FORGERIES[forgery]
    await break_ledger(sql, statement)
    broken = await _broken(engine)
    assert any(name.startswith(invariant) for name in broken), broken
