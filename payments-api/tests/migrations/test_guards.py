"""The database rejects every invalid state, even from the superuser or because of a bug."""

from typing import Any, TypeAlias

import asyncpg
import pytest

from payments_core.db.tables import metadata

Sql: TypeAlias = "asyncpg.Connection[Any]"

A = "00000000-0000-0000-0000-00000000000a"  # Pending.
B = "00000000-0000-0000-0000-00000000000b"  # Pending.
C = "00000000-0000-0000-0000-00000000000c"  # Completed, with its two legs.
D = "00000000-0000-0000-0000-00000000000d"  # Failed.
NEW = "00000000-0000-0000-0000-0000000000ff"


def _payment(**columns: str) -> str:
    values = {
        "id": f"'{NEW}'",
        "idempotency_key": "'new'",
        "request_fingerprint": "decode(repeat('00', 32), 'hex')",
        "account_id": "'acc_1'",
        "amount": "1",
        "currency": "'USD'",
        "description": "''",
        **columns,
    }
    return f"INSERT INTO payments ({', '.join(values)}) VALUES ({', '.join(values.values())})"


def _result(**columns: str) -> str:
    values = {
        "payment_id": f"'{A}'",
        "recon_job_id": "1",
        "status": "'completed'",
        "matched": "true",
        "notes": "''",
        "rule_version": "1",
        **columns,
    }
    return (
        f"INSERT INTO reconciliation_results ({', '.join(values)})"
        f" VALUES ({', '.join(values.values())})"
    )


LEG = (
    "INSERT INTO ledger_entries (payment_id, account_id, currency, entry_type, direction, amount,"
    " account_seq, balance_after) VALUES "
)
CREDIT = f"('{A}', 'acc_1', 'USD', 'payment', 'credit', 1, 2, 1)"
DEBIT = f"('{A}', 'sys:clearing:00', 'USD', 'clearing', 'debit', 1, 2, -1)"
POSTING = f"{LEG}{CREDIT}, {DEBIT}"


GENESIS = "decode(repeat('00', 32), 'hex')"


def _seal(**columns: str) -> str:
    values = {
        "seq": "2",
        "format_version": "1",
        "from_entry_id": "3",
        "to_entry_id": "2",
        "entry_count": "0",
        "entry_ids": "'{}'",
        "entries_hash": "sha256('')",
        "entry_digests": "''",
        "previous_hash": "sha256('1')",
        "seal_hash": "sha256('2')",
        "sealed_at": "now()",
        **columns,
    }
    return f"INSERT INTO ledger_seals ({', '.join(values)}) VALUES ({', '.join(values.values())})"


def _seal_2(**columns: str) -> str:
    """A seal of format 2: with a range of results."""
    results = {
        "format_version": "2",
        "from_result_id": "1",
        "to_result_id": "0",
        "result_count": "0",
        "result_ids": "'{}'",
        "results_hash": "sha256('')",
        "result_digests": "''",
    }
    return _seal(**{**results, **columns})


def _key(**columns: str) -> str:
    values = {
        "id": "'0123456789ab'",
        "secret_hash": "sha256('s')",
        "name": "'till'",
        "scopes": "'{payments:read}'",
        **columns,
    }
    return f"INSERT INTO api_keys ({', '.join(values)}) VALUES ({', '.join(values.values())})"


@pytest.fixture
async def ledger(sql: Sql) -> Sql:
    """Two pending payments, one completed with its posting, one failed."""
    for payment_id, key in ((A, "a"), (B, "b"), (C, "c"), (D, "d")):
        await sql.execute(_payment(id=f"'{payment_id}'", idempotency_key=f"'{key}'"))
        await sql.execute(f"INSERT INTO recon_jobs (payment_id) VALUES ('{payment_id}')")
    for payment_id, status in ((C, "completed"), (D, "failed")):
        await sql.execute(
            f"UPDATE payments SET status = '{status}', settled_at = now() WHERE id = '{payment_id}'"
        )
    await sql.execute(POSTING.replace(A, C).replace(", 2, ", ", 1, "))
    await sql.execute(
        "INSERT INTO accounts (account_id, currency, balance, seq, debits, credits)"
        " VALUES ('acc_1', 'USD', 1, 1, 0, 1), ('sys:clearing:00', 'USD', -1, 1, 1, 0)"
    )
    await sql.execute(_result(payment_id=f"'{C}'"))
    await sql.execute(_result(payment_id=f"'{D}'", status="'failed'", matched="false"))
    await sql.execute(
        "INSERT INTO operator_actions (action, actor, reason, job_ids)"
        " VALUES ('replay', 'ann', '', '{1}')"
    )
    first = {"seq": "1", "from_entry_id": "1", "previous_hash": GENESIS, "seal_hash": "sha256('1')"}
    await sql.execute(_seal(**first))
    return sql


# The constraint's name → a statement that it refuses.
CONSTRAINTS: dict[str, str] = {
    "payments_pkey": _payment(id=f"'{A}'"),
    "payments_idempotency_key_key": _payment(idempotency_key="'a'"),
    "key_has_1_to_255_chars": _payment(idempotency_key="repeat('k', 256)"),
    "fingerprint_is_sha256": _payment(request_fingerprint="'\\x00'"),
    "account_has_1_to_128_chars": _payment(account_id="''"),
    "no_payment_into_system_accounts": _payment(account_id="'sys:clearing:00'"),
    "amount_is_finite_and_bounded": _payment(amount="'NaN'"),
    "amount_needs_no_rounding": _payment(amount="1.00001"),
    "currency_is_a_code": _payment(currency="'usd'"),
    "description_has_500_chars_at_most": _payment(description="repeat('d', 501)"),
    "reference_has_1_to_35_chars": _payment(reference="repeat('r', 36)"),
    "metadata_is_a_small_object": _payment(metadata="'[]'"),
    "source_is_a_name": _payment(source="'Bank'"),
    "payment_status_known": _payment(status="'done'", settled_at="now()"),
    "settled_has_a_time": _payment(status="'completed'"),
    "completed_is_positive": _payment(status="'completed'", settled_at="now()", amount="-1"),
    "recon_jobs_pkey": "INSERT INTO recon_jobs (id, payment_id)"
    f" OVERRIDING SYSTEM VALUE VALUES (1, '{A}')",
    "recon_jobs_payment_id_fkey": f"INSERT INTO recon_jobs (payment_id) VALUES ('{NEW}')",
    "recon_jobs_payment_id_key": f"INSERT INTO recon_jobs (payment_id) VALUES ('{A}')",
    "job_status_known": "UPDATE recon_jobs SET status = 'done'",
    "processing_has_a_lease": "UPDATE recon_jobs SET status = 'processing'",
    "attempts_are_counted": "UPDATE recon_jobs SET attempts = -1",
    "dead_has_a_reason": "UPDATE recon_jobs SET status = 'failed'",
    "reconciliation_results_pkey": _result(id="1").replace(
        ") VALUES", ") OVERRIDING SYSTEM VALUE VALUES"
    ),
    "reconciliation_results_payment_id_key": _result(payment_id=f"'{C}'"),
    "result_status_known": _result(status="'done'", matched="false"),
    "matched_means_completed": _result(matched="false"),
    "discrepancy_has_an_amount": _result(status="'completed_with_discrepancy'", matched="false"),
    "accounts_pkey": "INSERT INTO accounts (account_id, currency, balance, seq, debits, credits)"
    " VALUES ('acc_1', 'USD', 0, 0, 0, 0)",
    "balance_is_credits_less_debits": "UPDATE accounts SET balance = balance + 1",
    "totals_are_not_negative": "UPDATE accounts SET debits = debits - 2, balance = balance + 2",
    "ledger_entries_pkey": POSTING.replace("(payment_id", "(id, payment_id")
    .replace(") VALUES", ") OVERRIDING SYSTEM VALUE VALUES")
    .replace(f"('{A}'", f"(1, '{A}'"),
    "ledger_entries_account_id_currency_account_seq_key": POSTING.replace(", 2, ", ", 1, "),
    "ledger_entries_payment_id_entry_type_key": POSTING.replace(A, C),
    "entry_amount_is_positive": POSTING.replace(", 1, 2", ", -1, 2"),
    "account_seq_starts_at_1": POSTING.replace(", 2, ", ", 0, "),
    "payment_credits_and_clearing_debits": POSTING.replace("'credit'", "'debit'"),
    "operator_actions_pkey": "INSERT INTO operator_actions (id, action, actor, reason, job_ids)"
    " OVERRIDING SYSTEM VALUE VALUES (1, 'replay', 'ann', '', '{1}')",
    "action_known": "INSERT INTO operator_actions (action, actor, reason, job_ids)"
    " VALUES ('delete', 'ann', '', '{1}')",
    "actor_is_named": "INSERT INTO operator_actions (action, actor, reason, job_ids)"
    " VALUES ('replay', '', '', '{1}')",
    "reason_has_1000_chars_at_most": "INSERT INTO operator_actions (action, actor, reason, job_ids)"
    " VALUES ('replay', 'ann', repeat('r', 1001), '{1}')",
    "workers_pkey": "INSERT INTO workers (id, host, version)"
    " VALUES ('w', 'h', '1'), ('w', 'h', '1')",
    "worker_throughput_pkey": "INSERT INTO worker_throughput"
    " SELECT '2026-01-01Z', 'w', 1, 0, 0 FROM generate_series(1, 2)",
    "audit_progress_pkey": "INSERT INTO audit_progress DEFAULT VALUES",
    "progress_is_one_row": "INSERT INTO audit_progress (only_row) VALUES (false)",
    "audit_findings_pkey": "INSERT INTO audit_findings (invariant, offending, mode)"
    " VALUES ('x', 0, 'full'), ('x', 0, 'full')",
    "ledger_seals_pkey": _seal(seq="1"),
    "ledger_seals_previous_hash_key": _seal(previous_hash=GENESIS),
    "seal_is_numbered_from_1": _seal(seq="0"),
    "seal_covers_a_range": _seal(from_entry_id="4"),
    "seal_hashes_are_sha256": _seal(seal_hash="''"),
    "seal_has_a_digest_an_entry": _seal(entry_count="1"),
    "seal_has_results_from_format_2": _seal_2(format_version="1"),
    "seal_has_a_digest_a_result": _seal_2(result_count="1"),
    "seal_verification_pkey": "INSERT INTO seal_verification DEFAULT VALUES",
    "seal_verification_is_one_row": "INSERT INTO seal_verification (only_row) VALUES (false)",
    "seal_problem_has_a_time": "UPDATE seal_verification SET problem = 'altered'",
    "api_keys_pkey": f"{_key()}, ('0123456789ab', sha256('t'), 'till', '{{payments:read}}')",
    "key_id_has_12_chars": _key(id="'0123456789AB'"),
    "secret_hash_is_sha256": _key(secret_hash="''"),
    "key_is_named": _key(name="''"),
    "key_allows_something": _key(scopes="'{}'"),
    "tenant_is_a_name": _key(tenant="'Acme'"),
    "operators_have_no_tenant": _key(tenant="'acme'", scopes="'{jobs:admin}'"),
    "audit_mode_known": "INSERT INTO audit_findings (invariant, offending, mode)"
    " VALUES ('x', 0, 'half')",
}

# More than one way into the same wall.
ALSO_REFUSED = [
    ("amount_is_finite_and_bounded", _payment(amount="'Infinity'")),
    ("amount_is_finite_and_bounded", _payment(amount="1e15")),
    ("amount_is_finite_and_bounded", _payment(amount="-1e15")),
    ("key_has_1_to_255_chars", _payment(idempotency_key="''")),
    ("account_has_1_to_128_chars", _payment(account_id="repeat('a', 129)")),
    ("reference_has_1_to_35_chars", _payment(reference="''")),
    ("metadata_is_a_small_object", _payment(metadata="'{}'")),
    (
        "metadata_is_a_small_object",
        _payment(metadata="jsonb_build_object('k', repeat('v', 4096))"),
    ),
    ("settled_has_a_time", _payment(settled_at="now()")),
    ("entry_amount_is_positive", POSTING.replace(", 1, 2", ", 'NaN', 2")),
    ("entry_amount_is_positive", POSTING.replace(", 1, 2", ", 0, 2")),
    ("payment_credits_and_clearing_debits", POSTING.replace("'acc_1'", "'sys:x'")),
    ("payment_credits_and_clearing_debits", POSTING.replace("'sys:clearing:00'", "'acc_2'")),
    ("processing_has_a_lease", "UPDATE recon_jobs SET lease_token = gen_random_uuid()"),
    ("processing_has_a_lease", "UPDATE recon_jobs SET locked_until = now()"),
    ("discrepancy_has_an_amount", _result(discrepancy_amount="0.13")),
    ("matched_means_completed", _result(status="'failed'")),
    ("seal_hashes_are_sha256", _seal(mac="''")),
    ("seal_has_results_from_format_2", _seal(format_version="2")),
    ("seal_has_results_from_format_2", _seal_2(results_hash="NULL")),
    ("seal_has_results_from_format_2", _seal_2(from_result_id="4")),
    ("seal_has_a_digest_a_result", _seal_2(results_hash="''")),
]


@pytest.mark.parametrize(
    ("name", "statement"),
    [*CONSTRAINTS.items(), *ALSO_REFUSED],
)
async def test_each_constraint_refuses_by_its_name(ledger: Sql, name: str, statement: str) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await ledger.execute(statement)
    assert refused.value.constraint_name == name


async def test_every_constraint_of_the_schema_is_in_the_table_above(ledger: Sql) -> None:
    named = await ledger.fetch(
        "SELECT conname FROM pg_constraint WHERE contype IN ('c', 'f', 'p', 'u')"
        " AND connamespace = 'public'::regnamespace AND conrelid <> 'alembic_version'::regclass"
    )
    assert {row[0] for row in named} == set(CONSTRAINTS)


FAILED = "'failed'"
UNBALANCED = "unbalanced posting"
STRAY_POSTING = "is not completed with this account, currency and amount"
BROKEN_CHAIN = "does not continue the chain"
STRAY_RESULT = "is not settled as this result says"
COMPLETE = f"UPDATE payments SET status = 'completed', settled_at = now() WHERE id = '{A}'"

TRIGGERS = [
    # what it is, the statement, a word of the refusal
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
        (f"a seal {what}", _seal(**columns), BROKEN_CHAIN)
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
        (f"a seal {what}", _seal_2(**columns), BROKEN_CHAIN)
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
    # The key of its job refuses first; without a job the trigger does.
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
    ("a result of no payment", _result(payment_id=f"'{NEW}'"), STRAY_RESULT),
    ("a result of a pending payment", _result(), STRAY_RESULT),
    (
        "a failure of a completed payment",
        f"{COMPLETE}; {_result(status=FAILED, matched='false')}",
        STRAY_RESULT,
    ),
    (
        "a success of a failed payment",
        f"{COMPLETE.replace('completed', 'failed')}; {_result()}",
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
    )
    before = [await ledger.fetch(f"SELECT * FROM {table} ORDER BY 1") for table in tables]
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=reason):
        await ledger.execute(statement)
    after = [await ledger.fetch(f"SELECT * FROM {table} ORDER BY 1") for table in tables]
    assert after == before


async def test_what_is_right_is_let_through(ledger: Sql) -> None:
    await ledger.execute(f"UPDATE payments SET updated_at = now() WHERE id = '{A}'")
    await ledger.execute(COMPLETE)
    await ledger.execute(POSTING)
    await ledger.execute(_result())
    await ledger.execute(_seal())
    third = {"seq": "3", "previous_hash": "sha256('2')", "seal_hash": "sha256('3')"}
    await ledger.execute(_seal_2(**third, to_result_id="2"))
    await ledger.execute(
        f"UPDATE payments SET status = 'failed', settled_at = now() WHERE id = '{B}'"
    )


async def test_the_database_has_the_tables_of_tables_py_and_no_other(sql: Sql) -> None:
    rows = await sql.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {row[0] for row in rows} == {*metadata.tables, "alembic_version"}


async def test_tables_that_change_much_are_vacuumed_often(sql: Sql) -> None:
    rows = await sql.fetch(
        "SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL AND relkind = 'r'"
    )
    options = {row["relname"]: set(row["reloptions"]) for row in rows}
    assert "autovacuum_vacuum_scale_factor=0.01" in options["recon_jobs"]
    assert "autovacuum_vacuum_scale_factor=0.02" in options["accounts"]
    assert "fillfactor=45" in options["payments"]
