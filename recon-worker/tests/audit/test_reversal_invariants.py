"""Each invariant of reversals is violated in the database, and the auditor names the row."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import create_engine, transaction
from payments_core.queue.dead_letters import discard
from recon_worker.audit.findings import Mode
from recon_worker.audit.reversal_invariants import REVERSAL_INVARIANTS
from testkit.database.ledgers.settled import (
    FAST,
    Break,
    assert_found,
    findings_of,
    settle_four,
    until_all_settled,
)
from testkit.database.reversals import add_reversal
from testkit.database.sql import Sql
from testkit.worker.own_system import running_worker

COMPLETED, FAILED, PENDING = (
    f"(SELECT id FROM reversals WHERE status = '{status}')"
    for status in ("completed", "failed", "pending")
)
REVERSED = f"(SELECT payment_id FROM reversals WHERE id = {COMPLETED})"
ANOTHER = "(SELECT id FROM payments WHERE amount = 7)"
LEGS = "ledger_entries WHERE reversal_id IS NOT NULL"
FULL: tuple[Mode, ...] = ("full",)

POSTING = [
    f"DELETE FROM {LEGS} AND entry_type = 'clearing'",
    f"DELETE FROM {LEGS} AND entry_type = 'reversal'",
    *(
        f"UPDATE ledger_entries SET {change} WHERE reversal_id IS NOT NULL AND entry_type = {leg}"
        for change, leg in (
            ("account_id = 'thief'", "'reversal'"),
            ("account_id = 'sys:clearing:bank:00'", "'clearing'"),
            ("currency = 'EUR'", "'clearing'"),
            ("amount = 4", "entry_type"),
            ("currency = 'EUR'", "entry_type"),
        )
    ),
    f"DELETE FROM reconciliation_results WHERE reversal_id = {COMPLETED};"
    f" DELETE FROM reversals WHERE id = {COMPLETED}",
]
RESULT = [
    f"DELETE FROM reversals WHERE id = {COMPLETED}",
    f"UPDATE reversals SET status = 'failed' WHERE id = {COMPLETED}",
    f"UPDATE reversals SET status = 'pending', settled_at = NULL WHERE id = {COMPLETED}",
    f"DELETE FROM {LEGS}",
    f"UPDATE ledger_entries SET reversal_id = {FAILED} WHERE reversal_id IS NOT NULL",
]
OTHERS_REVERSAL = [
    *(
        f"UPDATE reversals SET {change} WHERE id = {COMPLETED}"
        for change in (
            "account_id = 'b'",
            "currency = 'EUR'",
            "source = 'bank'",
            "reason = 'another'",
            "reference = 'R'",
            "metadata = jsonb_build_object('a', 'b')",
            f"payment_id = {ANOTHER}",
            "request_fingerprint = sha256('')",
            "updated_at = updated_at + interval '1 s'",
            "settled_at = settled_at + interval '1 s'",
        )
    ),
    f"UPDATE payments SET status = 'failed' WHERE id = {REVERSED}",
    f"DELETE FROM payments WHERE id = {REVERSED}",
]

BREAKS = [
    *(Break("reversal_posting_balances", sql, f"SELECT {COMPLETED}") for sql in POSTING),
    Break(
        "reversal_posting_balances",
        "UPDATE ledger_entries SET reversal_id = '00000000-0000-7000-8000-000000000001'"
        " WHERE reversal_id IS NOT NULL",
        "SELECT '00000000-0000-7000-8000-000000000001'::uuid",
    ),
    Break(
        "reversal_posting_balances",
        f"UPDATE ledger_entries SET payment_id = {ANOTHER} WHERE reversal_id IS NOT NULL",
        f"SELECT {ANOTHER}",
    ),
    *(Break("reversal_result_and_ledger_agree", sql, f"SELECT {COMPLETED}") for sql in RESULT),
    Break(
        "reversal_result_and_ledger_agree",
        "UPDATE reconciliation_results SET status = 'completed', matched = true"
        f" WHERE reversal_id = {FAILED}",
        f"SELECT {FAILED}",
    ),
    Break(
        "reversal_result_and_ledger_agree",
        f"DELETE FROM reconciliation_results WHERE reversal_id = {COMPLETED}",
        f"SELECT {COMPLETED}",
        FULL,
    ),
    Break(
        "open_reversal_has_one_live_job",
        f"UPDATE recon_jobs SET status = 'pending' WHERE reversal_id = {COMPLETED}",
        f"SELECT {COMPLETED}",
    ),
    *(
        Break("open_reversal_has_one_live_job", sql, f"SELECT {PENDING}", FULL)
        for sql in (
            f"DELETE FROM recon_jobs WHERE reversal_id = {PENDING}",
            f"UPDATE recon_jobs SET status = 'completed' WHERE reversal_id = {PENDING}",
            f"UPDATE reversals SET status = 'completed', settled_at = now() WHERE id = {PENDING}",
        )
    ),
    Break(
        "open_reversal_has_one_live_job",
        f"UPDATE recon_jobs SET reversal_id = gen_random_uuid() WHERE reversal_id = {COMPLETED}",
        f"SELECT id FROM recon_jobs WHERE reversal_id = {COMPLETED}",
        FULL,
    ),
    Break(
        "open_reversal_has_one_live_job",
        f"UPDATE reconciliation_results SET recon_job_id = 1 WHERE reversal_id = {COMPLETED}",
        f"SELECT {COMPLETED}",
        FULL,
    ),
    *(
        Break("reversals_stay_within_their_payment", sql, f"SELECT {REVERSED}")
        for sql in (
            f"UPDATE reversals SET amount = 9 WHERE id = {COMPLETED};"
            " UPDATE reversal_totals SET amount = 12, reserved = 10",
            f"UPDATE reversals SET status = 'completed' WHERE id = {FAILED}",
            "UPDATE reversal_totals SET reserved = 0",
            "UPDATE reversal_totals SET amount = 50",
            "DELETE FROM reversal_totals",
        )
    ),
    Break(
        "reversals_stay_within_their_payment",
        f"UPDATE reversals SET amount = 9 WHERE id = {PENDING}",
        f"SELECT {REVERSED}",
    ),
    Break(
        "reversals_stay_within_their_payment",
        f"INSERT INTO reversal_totals VALUES ({ANOTHER}, 7, 1)",
        f"SELECT {ANOTHER}",
        FULL,
    ),
    *(Break("reversal_is_of_its_payment", sql, f"SELECT {COMPLETED}") for sql in OTHERS_REVERSAL),
    Break(
        "reversal_is_of_its_payment",
        f"UPDATE reversals SET reason = 'another' WHERE id = {PENDING}",
        f"SELECT {PENDING}",
        FULL,
    ),
    *(
        Break(
            "outcome_follows_the_rules",
            f"UPDATE reconciliation_results SET {change} WHERE reversal_id = {COMPLETED}",
            f"SELECT {COMPLETED}",
        )
        for change in (
            "notes = 'Reconciled'",
            "rule_version = 2",
            "rule_version = 0",
            "status = 'failed', matched = false",
            "status = 'completed_with_discrepancy', matched = false, discrepancy_amount = 0.13",
        )
    ),
]


@pytest.fixture
async def reversing(sql: Sql, worker_url_of_database: str, database_url: str) -> None:
    """Three reversals of a payment of 5: of 1, completed; of 2, discarded; of 1, pending."""
    first, *_ = await settle_four(sql, worker_url_of_database)
    await add_reversal(sql, first, "1")
    async with running_worker(worker_url_of_database, clearing_shards=1, **FAST):
        await until_all_settled(sql)
    await add_reversal(sql, first, "2")
    dead = "UPDATE recon_jobs SET status = 'failed', last_error = 'x' WHERE status = 'pending'"
    job_id = await sql.fetchval(f"{dead} RETURNING id")
    engine = create_engine(database_url, application_name="test", pool_size=1)
    async with transaction(engine) as tx:
        await discard(tx, job_id, Operator("ann"), "a test")
    await engine.dispose()
    await add_reversal(sql, first, "1")


@pytest.mark.usefixtures("reversing")
@pytest.mark.parametrize("mode", ["incremental", "full"])
async def test_reversals_in_order_break_no_invariant(engine: AsyncEngine, mode: Mode) -> None:
    findings = await findings_of(engine, mode)
    assert {name: f.offenders for name, f in findings.items() if f.offending} == {}


def test_every_invariant_of_reversals_is_broken_below() -> None:
    broken = {broken.invariant for broken in BREAKS}
    assert broken == {one.name for one in REVERSAL_INVARIANTS} | {"outcome_follows_the_rules"}


@pytest.mark.usefixtures("reversing")
@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.invariant)
async def test_a_broken_invariant_is_found_and_its_row_named(
    sql: Sql, engine: AsyncEngine, broken: Break
) -> None:
    await assert_found(sql, engine, broken)
