"""Triggers reject changed history and unbalanced postings, even from the superuser."""

from decimal import Decimal

import asyncpg
import pytest

from testkit.database.guarded_rows import (
    CREDIT,
    DEBIT,
    LEG,
    NEW,
    NO_PAYMENT,
    POSTED_BACK,
    POSTING,
    A,
    B,
    C,
    D,
    R,
    S,
    T,
    insert_result,
    insert_reversal,
    insert_seal,
    insert_seal_2,
)
from testkit.database.sql import Sql

FAILED = "'failed'"

UNBALANCED = "unbalanced posting"

STRAY_POSTING = "is not completed with this account, currency and amount"

BROKEN_CHAIN = "does not continue the chain"

STRAY_REVERSAL = "is not completed with this account, currency and source"

STRAY_RESULT = "is not settled as this result says"

COMPLETE = f"UPDATE payments SET status = 'completed', settled_at = now() WHERE id = '{A}'"

TRIGGERS = [
    # description, statement, part of the error
    ("an entry is changed", "UPDATE ledger_entries SET amount = 2", "never changed"),
    ("an entry is touched", "UPDATE ledger_entries SET amount = amount", "never changed"),
    ("an entry is deleted", "DELETE FROM ledger_entries", "never changed"),
    ("the ledger is emptied", "TRUNCATE ledger_entries", "never changed"),
    ("a result is changed", "UPDATE reconciliation_results SET notes = 'x'", "never changed"),
    ("a result is deleted", "DELETE FROM reconciliation_results", "never changed"),
    ("the results are emptied", "TRUNCATE reconciliation_results", "never changed"),
    ("an action is changed", "UPDATE operator_actions SET actor = 'bob'", "never changed"),
    ("an action is deleted", "DELETE FROM operator_actions", "never changed"),
    ("the actions are emptied", "TRUNCATE operator_actions", "never changed"),
    ("a payment is deleted", f"DELETE FROM payments WHERE id = '{B}'", "never changed"),
    ("a seal is changed", "UPDATE ledger_seals SET mac = sha256('')", "never changed"),
    ("a seal is deleted", "DELETE FROM ledger_seals", "never changed"),
    ("the seals are emptied", "TRUNCATE ledger_seals", "never changed"),
    *(
        (f"a seal {what}", insert_seal(**columns), BROKEN_CHAIN)
        for what, columns in {
            "that skips numbers": {"seq": "999999"},
            "after another seal": {"previous_hash": "sha256('2')"},
            "that leaves entries out": {"from_entry_id": "4", "to_entry_id": "3"},
            "over sealed entries again": {"from_entry_id": "2"},
            "over entries to come": {"to_entry_id": "1000000"},
            "of yesterday": {"sealed_at": "now() - interval '1 day'"},
            "of tomorrow": {"sealed_at": "now() + interval '1 day'"},
        }.items()
    ),
    *(
        (f"a seal {what}", insert_seal_2(**columns), BROKEN_CHAIN)
        for what, columns in {
            "that leaves results out": {"from_result_id": "2", "to_result_id": "2"},
            "over results to come": {"to_result_id": "1000000"},
        }.items()
    ),
    ("the payments are emptied", "TRUNCATE payments CASCADE", "never changed"),
    (
        "a completed payment fails after all",
        f"UPDATE payments SET status = 'failed' WHERE id = '{C}'",
        "never changed",
    ),
    (
        "a failed payment completes after all",
        f"UPDATE payments SET status = 'completed' WHERE id = '{D}'",
        "never changed",
    ),
    (
        "a settled payment becomes pending",
        f"UPDATE payments SET status = 'pending', settled_at = NULL WHERE id = '{C}'",
        "never changed",
    ),
    (
        "a settled payment settles at another time",
        f"UPDATE payments SET settled_at = now() + interval '1 s' WHERE id = '{C}'",
        "never changed",
    ),
    *(
        (
            f"a pending payment's {column} changes",
            f"UPDATE payments SET {column} = {value} WHERE id = '{B}'",
            "never changed",
        )
        for column, value in {
            "idempotency_key": "'x'",
            "request_fingerprint": "decode(repeat('01', 32), 'hex')",
            "account_id": "'acc_2'",
            "amount": "2",
            "currency": "'EUR'",
            "description": "'x'",
            "reference": "'x'",
            "metadata": """'{"x": "y"}'""",
            "source": "'x'",
            "created_at": "now() - interval '1 day'",
        }.items()
    ),
    # The foreign key of its job rejects the change first; without a job the trigger does.
    ("a payment's id changes", f"UPDATE payments SET id = '{NEW}' WHERE id = '{B}'", "recon_jobs"),
    (
        "the id of a payment without a job changes",
        f"DELETE FROM recon_jobs; UPDATE payments SET id = '{NEW}' WHERE id = '{B}'",
        "never changed",
    ),
    ("a credit alone", LEG + CREDIT, UNBALANCED),
    ("a debit alone", LEG + DEBIT, UNBALANCED),
    ("two amounts", f"{LEG}{CREDIT}, {DEBIT.replace(', 1, 2', ', 1.01, 2')}", UNBALANCED),
    ("two currencies", f"{LEG}{CREDIT}, {DEBIT.replace('USD', 'EUR')}", UNBALANCED),
    ("legs of two payments", f"{LEG}{CREDIT}, {DEBIT.replace(A, B)}", UNBALANCED),
    ("a posting of no payment", POSTING.replace(A, NEW), STRAY_POSTING),
    ("a posting of a pending payment", POSTING, STRAY_POSTING),
    ("a posting of a failed payment", POSTING.replace(A, D), STRAY_POSTING),
    *(
        (f"a posting of another {what}", f"{COMPLETE}; {posting}", STRAY_POSTING)
        for what, posting in {
            "account": POSTING.replace("acc_1", "acc_2"),
            "currency": POSTING.replace("USD", "EUR"),
            "amount": POSTING.replace(", 1, 2", ", 1.01, 2"),
        }.items()
    ),
    (
        "one stray posting among others",
        f"{COMPLETE}; {POSTING}, {CREDIT.replace(A, B).replace(', 2, ', ', 3, ')},"
        f" {DEBIT.replace(A, B).replace(', 2, ', ', 3, ')}",
        STRAY_POSTING,
    ),
    *(
        (f"a reversal of {what}", insert_reversal(**columns), STRAY_REVERSAL)
        for what, columns in {
            "no payment": {"payment_id": f"'{NEW}'"},
            "a pending payment": {"payment_id": f"'{A}'"},
            "a failed payment": {"payment_id": f"'{D}'"},
            "another account": {"account_id": "'acc_2'"},
            "another currency": {"currency": "'EUR'"},
            "another source": {"source": "'bank'"},
        }.items()
    ),
    *(
        (f"{what} reversal {change}", statement, "never changed")
        for what, reversal in (("a completed", S), ("a failed", T))
        for change, statement in {
            "is pending again": "UPDATE reversals SET status = 'pending', settled_at = NULL"
            f" WHERE id = '{reversal}'",
            "settles otherwise": "UPDATE reversals SET status = CASE status WHEN 'failed'"
            f" THEN 'completed' ELSE 'failed' END WHERE id = '{reversal}'",
            "settles at another time": "UPDATE reversals SET settled_at = now() + interval '1 s'"
            f" WHERE id = '{reversal}'",
            "is deleted": f"DELETE FROM reversals WHERE id = '{reversal}'",
        }.items()
    ),
    *(
        (
            f"a pending reversal's {column} changes",
            f"UPDATE reversals SET {column} = {value} WHERE id = '{R}'",
            "never changed",
        )
        for column, value in {
            "id": f"'{NEW}'",
            "idempotency_key": "'x'",
            "request_fingerprint": "decode(repeat('01', 32), 'hex')",
            "payment_id": f"'{A}'",
            "account_id": "'acc_2'",
            "currency": "'EUR'",
            "source": "'x'",
            "amount": "0.3",
            "reason": "'x'",
            "reference": "'x'",
            "metadata": """'{"x": "y"}'""",
            "traceparent": "'x'",
            "created_at": "now() - interval '1 day'",
        }.items()
    ),
    ("a pending reversal is deleted", f"DELETE FROM reversals WHERE id = '{R}'", "never changed"),
    ("the reversals are emptied", "TRUNCATE reversals CASCADE", "never changed"),
    ("a total is lowered", "UPDATE reversal_totals SET reserved = 0", "never changed"),
    ("a total's limit is raised", "UPDATE reversal_totals SET amount = 9", "never changed"),
    ("a total is made", f"INSERT INTO reversal_totals VALUES ('{A}', 9, 0)", "never changed"),
    ("a total is deleted", "DELETE FROM reversal_totals", "never changed"),
    ("the totals are emptied", "TRUNCATE reversal_totals", "never changed"),
    *(
        (f"a posting of {what}", POSTED_BACK.replace(*change), STRAY_POSTING)
        for what, change in {
            "no reversal": (S, NEW),
            "a pending reversal": (S, R),
            "a failed reversal": (S, T),
            "a reversal with another amount": ("0.1,", "0.2,"),
            "a reversal with another account": ("'acc_1'", "'acc_2'"),
            "a reversal with another currency": ("'USD'", "'EUR'"),
            "a reversal of another payment": (C, A),
        }.items()
    ),
    (
        "a reversal's legs of two amounts",
        POSTED_BACK.replace("'credit', 0.1", "'credit', 0.2"),
        UNBALANCED,
    ),
    (
        "a result of no reversal",
        insert_result(payment_id="NULL", reversal_id=f"'{NEW}'"),
        STRAY_RESULT,
    ),
    (
        "a result of a pending reversal",
        insert_result(payment_id="NULL", reversal_id=f"'{R}'"),
        STRAY_RESULT,
    ),
    (
        "a failure of a completed reversal",
        insert_result(**NO_PAYMENT, status=FAILED, matched="false"),
        STRAY_RESULT,
    ),
    (
        "a success of a failed reversal",
        insert_result(payment_id="NULL", reversal_id=f"'{T}'"),
        STRAY_RESULT,
    ),
    ("a result of no payment", insert_result(payment_id=f"'{NEW}'"), STRAY_RESULT),
    ("a result of a pending payment", insert_result(), STRAY_RESULT),
    (
        "a failure of a completed payment",
        f"{COMPLETE}; {insert_result(status=FAILED, matched='false')}",
        STRAY_RESULT,
    ),
    (
        "a success of a failed payment",
        f"{COMPLETE.replace('completed', 'failed')}; {insert_result()}",
        STRAY_RESULT,
    ),
]


@pytest.mark.parametrize(
    ("statement", "reason"), [row[1:] for row in TRIGGERS], ids=[row[0] for row in TRIGGERS]
)
async def test_history_never_changes_and_postings_balance(
    ledger: Sql, statement: str, reason: str
) -> None:
    tables = (
        "payments",
        "ledger_entries",
        "reconciliation_results",
        "operator_actions",
        "ledger_seals",
        "reversals",
        "reversal_totals",
    )
    before = [await ledger.fetch(f"SELECT * FROM {table} ORDER BY 1") for table in tables]
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=reason):
        await ledger.execute(statement)
    after = [await ledger.fetch(f"SELECT * FROM {table} ORDER BY 1") for table in tables]
    assert after == before


async def test_valid_statements_are_accepted(ledger: Sql) -> None:
    await ledger.execute(f"UPDATE payments SET updated_at = now() WHERE id = '{A}'")
    await ledger.execute(COMPLETE)
    await ledger.execute(POSTING)
    await ledger.execute(insert_result())
    await ledger.execute(POSTED_BACK.replace(", 2, ", ", 3, "))
    await ledger.execute(insert_result(**NO_PAYMENT))
    await ledger.execute(f"UPDATE reversals SET updated_at = now() WHERE id = '{R}'")
    await ledger.execute(insert_reversal(amount="0.5"))
    await ledger.execute(insert_seal())
    third = {"seq": "3", "previous_hash": "sha256('2')", "seal_hash": "sha256('3')"}
    await ledger.execute(insert_seal_2(**third, to_result_id="2"))
    await ledger.execute(
        f"UPDATE payments SET status = 'failed', settled_at = now() WHERE id = '{B}'"
    )
    for reversal_id, status in ((NEW, "failed"), (R, "completed")):
        await ledger.execute(
            f"UPDATE reversals SET status = '{status}', settled_at = now()"
            f" WHERE id = '{reversal_id}'"
        )
    total = await ledger.fetchrow("SELECT payment_id::text, amount, reserved FROM reversal_totals")
    assert total is not None
    assert tuple(total) == (C, 1, Decimal("0.5"))
