"""Each invariant of adjustments is violated in the database, and the auditor names the row."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from recon_worker.audit.adjustments import ADJUSTMENT_INVARIANTS
from recon_worker.audit.findings import Mode
from recon_worker.sealing.chain import read_head
from recon_worker.sealing.verify import Walk, verify_chain
from testkit.database.adjustments import adjust_five
from testkit.database.ledgers.sealed import seal_all
from testkit.database.ledgers.settled import Break, assert_found, findings_of
from testkit.database.sql import Sql

POSTED, PROPOSED, APPROVED, REJECTED = (
    f"(SELECT id FROM recon_adjustments WHERE status = '{status}')"
    for status in ("posted", "proposed", "approved", "rejected")
)
LINE = "(SELECT line_id FROM recon_adjustments WHERE status = 'posted')"
LEG = "posting_kind = 'adjustment' AND entry_type ="
FULL: tuple[Mode, ...] = ("full",)

POSTING = [
    *(
        f"UPDATE ledger_entries SET {change} WHERE {LEG} {leg}"
        for change, leg in (
            ("account_id = 'sys:adjustment:rounding'", "'adjustment'"),
            ("account_id = 'sys:clearing:bank:00'", "'clearing'"),
            ("currency = 'EUR'", "'adjustment'"),
            ("currency = 'EUR'", "entry_type"),
            ("amount = 7", "entry_type"),
            ("direction = 'credit'", "'adjustment'"),
        )
    ),
    f"DELETE FROM ledger_entries WHERE {LEG} 'clearing'",
    "UPDATE recon_adjustments SET kind = 'rounding' WHERE status = 'posted'",
]
# The names themselves are held by CHECK constraints, which test_mutation_of_the_books.py drops.
OF_ITS_LINE = [
    *(
        f"UPDATE recon_adjustments SET {change} WHERE status = 'posted'"
        for change in (
            "amount = -7",
            "entry_ids = '{1}'",
            "line_id = 999",
            "source_id = 999",
        )
    ),
    f"DELETE FROM match_legs WHERE side = 'line' AND item_id = {LINE}",
    f"UPDATE statement_lines SET amount = -7 WHERE id = {LINE}",
]
RECORDED = [
    f"DELETE FROM operator_actions WHERE subject = 'adjustment ' || {POSTED}"
    " AND action = 'approve_adjustment'",
    "UPDATE recon_adjustments SET decided_by = 'eve' WHERE status = 'posted'",
    "UPDATE recon_adjustments SET reason = 'another' WHERE status = 'posted'",
]

BREAKS = [
    *(Break("adjustment_posting_balances", sql, f"SELECT {POSTED}") for sql in POSTING),
    Break(
        "adjustment_posting_balances",
        "UPDATE recon_adjustments SET status = 'rejected', settled_at = NULL"
        " WHERE status = 'posted'",
        f"SELECT {POSTED}",
    ),
    Break(
        "adjustment_posting_balances",
        "DELETE FROM ledger_entries WHERE posting_kind = 'adjustment'",
        f"SELECT {POSTED}",
        FULL,
    ),
    Break(
        "adjustment_posting_balances",
        "UPDATE recon_adjustments SET status = 'posted', settled_at = now()"
        " WHERE status = 'approved'",
        f"SELECT {APPROVED}",
        FULL,
    ),
    *(Break("adjustment_has_two_people", sql, f"SELECT {POSTED}") for sql in OF_ITS_LINE),
    Break(
        "adjustment_has_two_people",
        f"INSERT INTO recon_adjustments SELECT gen_random_uuid(), source_id, {LINE}, entry_ids,"
        " kind, amount, reason, status, proposed_by, proposed_at FROM recon_adjustments"
        " WHERE status = 'proposed'",
        f"SELECT id FROM recon_adjustments WHERE line_id = {LINE} AND status = 'proposed'",
    ),
    *(Break("adjustment_has_two_people", sql, f"SELECT {POSTED}", FULL) for sql in RECORDED),
    Break(
        "adjustment_has_two_people",
        "DELETE FROM recon_adjustments WHERE status = 'rejected'",
        f"SELECT {REJECTED}",
        FULL,
    ),
]


@pytest.mark.parametrize("mode", ["incremental", "full"])
async def test_adjustments_in_order_break_no_invariant(
    sql: Sql, engine: AsyncEngine, mode: Mode
) -> None:
    await adjust_five(sql, engine)
    findings = await findings_of(engine, mode)
    # The statement of the tests has neither bytes nor words.
    ours = {name for name, found in findings.items() if found.offending and "file" not in name}
    assert ours == {"line_is_as_received"}


async def test_seals_hold_the_legs_of_adjustments(sql: Sql, engine: AsyncEngine) -> None:
    await adjust_five(sql, engine)
    assert await seal_all(engine, [])
    async with engine.connect() as connection:
        for expected in (0, 1):
            walk = Walk()
            head = await read_head(connection)
            async for _ in verify_chain(connection, walk, head.seq, []):
                pass
            assert len(walk.findings) == expected
            await sql.execute("SET session_replication_role = replica")
            await sql.execute(f"UPDATE ledger_entries SET amount = 9 WHERE {LEG} 'adjustment'")
            await sql.execute("SET session_replication_role = DEFAULT")


def test_every_invariant_of_adjustments_is_broken_below() -> None:
    assert {broken.invariant for broken in BREAKS} == {one.name for one in ADJUSTMENT_INVARIANTS}


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.invariant)
async def test_a_broken_invariant_is_found_and_its_row_named(
    sql: Sql, engine: AsyncEngine, broken: Break
) -> None:
    await adjust_five(sql, engine)
    await assert_found(sql, engine, broken)
