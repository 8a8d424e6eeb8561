"""Each invariant is violated in the database, and the auditor names the row."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from recon_worker.audit.adjustments import ADJUSTMENT_INVARIANTS
from recon_worker.audit.events import EVENT_INVARIANTS
from recon_worker.audit.findings import Mode
from recon_worker.audit.invariants import INVARIANTS
from recon_worker.audit.matching import MATCHING_INVARIANTS
from recon_worker.audit.reversal_invariants import REVERSAL_INVARIANTS
from recon_worker.audit.statements import STATEMENT_INVARIANTS
from testkit.database.ledgers.settled import Break, assert_found, break_ledger, findings_of
from testkit.database.sql import Sql

# The four payments in the order of their jobs: 5, 6.13, 7 and -1.
PAYMENT = "(SELECT payment_id FROM reconciliation_results WHERE recon_job_id = {})"
FIRST, SECOND, THIRD, FAILED = (PAYMENT.format(n) for n in (1, 2, 3, 4))


# A posting without a payment, balanced in itself and in every sum.
STRAY_POSTING = """
INSERT INTO ledger_entries (payment_id, account_id, currency, entry_type, direction, amount,
                            account_seq, balance_after, created_at)
SELECT '00000000-0000-7000-8000-000000000001', account_id, currency,
       CASE WHEN gain > 0 THEN 'payment' ELSE 'clearing' END,
       CASE WHEN gain > 0 THEN 'credit' ELSE 'debit' END, 1000000, seq + 1, balance + gain,
       '9999-01-01Z'
FROM accounts, LATERAL (SELECT CASE account_id WHEN 'a' THEN 1000000 ELSE -1000000 END) AS by (gain)
WHERE account_id <> 'b';
UPDATE accounts AS head
SET seq = account_seq, balance = balance_after, updated_at = last.created_at,
    credits = credits + CASE direction WHEN 'credit' THEN amount ELSE 0 END,
    debits = debits + CASE direction WHEN 'debit' THEN amount ELSE 0 END
FROM ledger_entries AS last WHERE head.account_id = last.account_id AND last.amount = 1000000"""

BREAKS = [
    Break("posting_balances", STRAY_POSTING, "SELECT '00000000-0000-7000-8000-000000000001'::uuid"),
    Break(
        "posting_balances",
        f"DELETE FROM payments WHERE id = {FIRST};"
        f" DELETE FROM reconciliation_results WHERE payment_id = {FIRST}",
        f"SELECT {FIRST}",
    ),
    Break(
        "status_result_and_ledger_agree",
        f"DELETE FROM payments WHERE id = {FIRST}",
        f"SELECT {FIRST}",
    ),
    Break(
        "status_result_and_ledger_agree",
        f"DELETE FROM payments WHERE id = {FAILED}",
        f"SELECT {FAILED}",
    ),
    Break(
        "status_result_and_ledger_agree",
        f"DELETE FROM reconciliation_results WHERE payment_id = {FIRST};"
        f" DELETE FROM payments WHERE id NOT IN (SELECT payment_id FROM reconciliation_results)",
        f"SELECT {FIRST}",
        ("full",),
    ),
    Break(
        "outcome_follows_the_rules",
        "UPDATE reconciliation_results SET rule_version = 7, discrepancy_amount = 999999"
        " WHERE recon_job_id = 2",
        f"SELECT {SECOND}",
    ),
    Break(
        "outcome_follows_the_rules",
        "UPDATE reconciliation_results SET rule_version = 0 WHERE recon_job_id = 4",
        f"SELECT {FAILED}",
    ),
    Break(
        "outcome_follows_the_rules",
        "UPDATE reconciliation_results SET notes = 'Approved' WHERE recon_job_id = 1",
        f"SELECT {FIRST}",
    ),
    Break(
        "head_row_is_the_last_entry",
        "UPDATE accounts SET updated_at = updated_at + interval '1 y' WHERE account_id = 'b'",
        "SELECT 'b'",
    ),
    Break(
        "pending_has_one_live_job",
        "UPDATE recon_jobs SET payment_id = gen_random_uuid() WHERE id = 1",
        "SELECT 1",
        ("full",),
    ),
    Break(
        "pending_has_one_live_job",
        "DELETE FROM recon_jobs WHERE id = 1;"
        f" INSERT INTO recon_jobs (payment_id, status) VALUES ({FIRST}, 'completed')",
        f"SELECT {FIRST}",
        ("full",),
    ),
    Break(
        "posting_balances",
        "DELETE FROM ledger_entries WHERE entry_type = 'clearing' AND account_seq = 1",
        f"SELECT {FIRST}",
    ),
    Break(
        "posting_balances",
        f"UPDATE ledger_entries SET currency = 'EUR' WHERE payment_id = {SECOND}"
        " AND entry_type = 'clearing'",
        f"SELECT {SECOND}",
    ),
    Break(
        "posting_balances",
        f"UPDATE ledger_entries SET account_id = 'thief' WHERE payment_id = {THIRD}"
        " AND entry_type = 'payment'",
        f"SELECT {THIRD}",
    ),
    Break(
        "posting_balances",
        f"UPDATE ledger_entries SET amount = 70 WHERE payment_id = {THIRD}",
        f"SELECT {THIRD}",
    ),
    Break(
        "currencies_sum_to_zero",
        "UPDATE ledger_entries SET amount = amount + 1 WHERE id = 1",
        "SELECT 'USD'",
    ),
    Break(
        "currencies_sum_to_zero",
        "UPDATE accounts SET balance = balance + 1, credits = credits + 1 WHERE account_id = 'a'",
        "SELECT 'USD'",
        ("full",),
    ),
    Break(
        "running_balance_adds_up",
        "UPDATE ledger_entries SET balance_after = 999 WHERE account_id = 'a' AND account_seq = 1",
        "SELECT id FROM ledger_entries WHERE account_id = 'a' AND account_seq = 1",
    ),
    Break(
        "running_balance_adds_up",
        "UPDATE ledger_entries SET balance_after = -999 WHERE account_id = 'a' AND account_seq = 1",
        "SELECT id FROM ledger_entries WHERE account_id = 'a' AND account_seq = 1",
    ),
    Break(
        "sequence_has_no_gap",
        "UPDATE ledger_entries SET account_seq = 9 WHERE account_id = 'a' AND account_seq = 2",
        "SELECT id FROM ledger_entries WHERE account_seq = 9",
    ),
    Break(
        "sequence_has_no_gap",
        "DELETE FROM ledger_entries WHERE account_id = 'a' AND account_seq = 1",
        "SELECT id FROM ledger_entries WHERE account_id = 'a' AND account_seq = 2",
    ),
    Break(
        "head_row_is_the_last_entry",
        "UPDATE accounts SET balance = 1, credits = 1 WHERE account_id = 'b'",
        "SELECT 'b'",
    ),
    Break(
        "head_row_is_the_last_entry",
        "UPDATE accounts SET seq = 7 WHERE account_id = 'b'",
        "SELECT 'b'",
    ),
    Break(
        "head_row_is_the_last_entry", "DELETE FROM accounts WHERE account_id = 'a'", "SELECT 'a'"
    ),
    Break(
        "head_row_is_the_last_entry",
        "UPDATE accounts SET credits = credits + 1, debits = debits + 1 WHERE account_id = 'a'",
        "SELECT 'a'",
        ("full",),
    ),
    Break(
        "head_row_is_the_last_entry",
        "INSERT INTO accounts VALUES ('ghost', 'USD', 0, 0, 0, 0)",
        "SELECT 'ghost'",
        ("full",),
    ),
    Break(
        "time_runs_forward",
        "UPDATE ledger_entries SET created_at = created_at + interval '1 h'"
        " WHERE account_id = 'a' AND account_seq = 1",
        "SELECT id FROM ledger_entries WHERE account_id = 'a' AND account_seq = 2",
    ),
    Break(
        "status_result_and_ledger_agree",
        f"UPDATE payments SET status = 'failed' WHERE id = {FIRST}",
        f"SELECT {FIRST}",
    ),
    Break(
        "status_result_and_ledger_agree",
        f"UPDATE payments SET status = 'failed' WHERE id = {FIRST};"
        f" DELETE FROM ledger_entries WHERE payment_id = {FIRST}",
        f"SELECT {FIRST}",
    ),
    Break(
        "status_result_and_ledger_agree",
        f"UPDATE payments SET status = 'pending', settled_at = NULL WHERE id = {FIRST}",
        f"SELECT {FIRST}",
    ),
    Break(
        "status_result_and_ledger_agree",
        f"DELETE FROM ledger_entries WHERE payment_id = {THIRD}",
        f"SELECT {THIRD}",
    ),
    Break(
        "status_result_and_ledger_agree",
        "DELETE FROM reconciliation_results WHERE recon_job_id = 4",
        "SELECT id FROM payments WHERE status = 'failed'",
        ("full",),
    ),
    Break(
        "outcome_follows_the_rules",
        "UPDATE reconciliation_results SET status = 'completed', matched = true,"
        " discrepancy_amount = NULL WHERE recon_job_id = 2",
        f"SELECT {SECOND}",
    ),
    Break(
        "outcome_follows_the_rules",
        "UPDATE reconciliation_results SET discrepancy_amount = 0.31 WHERE recon_job_id = 2",
        f"SELECT {SECOND}",
    ),
    Break(
        "pending_has_one_live_job",
        f"UPDATE recon_jobs SET status = 'pending' WHERE payment_id = {FIRST}",
        f"SELECT {FIRST}",
    ),
    Break(
        "pending_has_one_live_job",
        f"UPDATE payments SET status = 'pending', settled_at = NULL WHERE id = {FAILED}",
        f"SELECT {FAILED}",
    ),
    Break(
        "pending_has_one_live_job",
        f"UPDATE payments SET status = 'pending', settled_at = NULL WHERE id = {FAILED};"
        f" DELETE FROM recon_jobs WHERE payment_id = {FAILED}",
        f"SELECT {FAILED}",
    ),
    Break(
        "settled_once",
        f"UPDATE payments SET updated_at = updated_at + interval '1 s' WHERE id = {FIRST}",
        f"SELECT {FIRST}",
    ),
    Break(
        "key_names_one_request",
        f"UPDATE payments SET description = 'another' WHERE id = {THIRD}",
        f"SELECT {THIRD}",
    ),
    Break(
        "no_job_is_forgotten",
        f"UPDATE recon_jobs SET status = 'pending', run_at = now() - interval '301 s'"
        f" WHERE payment_id = {FIRST}",
        "SELECT 1",
    ),
]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("mode", ["incremental", "full"])
async def test_a_correct_ledger_violates_no_invariant(engine: AsyncEngine, mode: Mode) -> None:
    findings = await findings_of(engine, mode)
    assert findings.keys() == {invariant.name for invariant in INVARIANTS}
    assert {name: f.offenders for name, f in findings.items() if f.offending} == {}


def test_every_invariant_has_a_violation_below() -> None:
    # Those of statements, matching, adjustments, events and reversals are broken in their tests.
    of_statements = (*STATEMENT_INVARIANTS, *MATCHING_INVARIANTS, *ADJUSTMENT_INVARIANTS)
    others = (*of_statements, *EVENT_INVARIANTS, *REVERSAL_INVARIANTS)
    ours = {each.name for each in INVARIANTS} - {each.name for each in others}
    assert {broken.invariant for broken in BREAKS} == ours


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.invariant)
async def test_a_violated_invariant_is_found_and_its_row_named(
    sql: Sql, engine: AsyncEngine, broken: Break
) -> None:
    await assert_found(sql, engine, broken)


@pytest.mark.usefixtures("settled")
async def test_a_duplicate_key_is_found_even_without_its_constraint(
    sql: Sql, engine: AsyncEngine
) -> None:
    await sql.execute("ALTER TABLE payments DROP CONSTRAINT payments_idempotency_key_key")
    try:
        twice = f"UPDATE payments SET idempotency_key = 'twice' WHERE id IN ({FIRST}, {FAILED})"
        await break_ledger(sql, twice)
        finding = (await findings_of(engine, "full"))["key_names_one_request"]
        assert finding.offenders == [{"idempotency_key": "twice", "payments": 2}]
    finally:
        await break_ledger(sql, "UPDATE payments SET idempotency_key = id::text")
        await sql.execute("ALTER TABLE payments ADD UNIQUE (idempotency_key)")
