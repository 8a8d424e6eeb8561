"""Constraints reject every invalid row, even from the superuser or because of a bug."""

import pytest

from payments_core.db.tables import metadata
from testkit.database.guarded_rows import (
    GENESIS,
    NEW,
    NO_PAYMENT,
    POSTED_BACK,
    POSTING,
    A,
    C,
    R,
    S,
    insert_key,
    insert_payment,
    insert_result,
    insert_reversal,
    insert_seal,
    insert_seal_2,
)
from testkit.database.sql import Sql

from .refusals import assert_refused, constraints_of

# The constraint's name → a statement that it refuses.
CONSTRAINTS: dict[str, str] = {
    "payments_pkey": insert_payment(id=f"'{A}'"),
    "payments_idempotency_key_key": insert_payment(idempotency_key="'a'"),
    "key_has_1_to_255_chars": insert_payment(idempotency_key="repeat('k', 256)"),
    "fingerprint_is_sha256": insert_payment(request_fingerprint="'\\x00'"),
    "account_has_1_to_128_chars": insert_payment(account_id="''"),
    "no_payment_into_system_accounts": insert_payment(account_id="'sys:clearing:00'"),
    "amount_is_finite_and_bounded": insert_payment(amount="'NaN'"),
    "amount_needs_no_rounding": insert_payment(amount="1.00001"),
    "currency_is_a_code": insert_payment(currency="'usd'"),
    "description_has_500_chars_at_most": insert_payment(description="repeat('d', 501)"),
    "reference_has_1_to_35_chars": insert_payment(reference="repeat('r', 36)"),
    "metadata_is_a_small_object": insert_payment(metadata="'[]'"),
    "source_is_a_name": insert_payment(source="'Bank'"),
    "payment_status_known": insert_payment(status="'done'", settled_at="now()"),
    "settled_has_a_time": insert_payment(status="'completed'"),
    "completed_is_positive": insert_payment(status="'completed'", settled_at="now()", amount="-1"),
    "recon_jobs_pkey": "INSERT INTO recon_jobs (id, payment_id)"
    f" OVERRIDING SYSTEM VALUE VALUES (1, '{A}')",
    "recon_jobs_payment_id_fkey": f"INSERT INTO recon_jobs (payment_id) VALUES ('{NEW}')",
    "recon_jobs_payment_id_key": f"INSERT INTO recon_jobs (payment_id) VALUES ('{A}')",
    "recon_jobs_reversal_id_fkey": f"INSERT INTO recon_jobs (reversal_id) VALUES ('{NEW}')",
    "job_is_of_one": f"INSERT INTO recon_jobs (payment_id, reversal_id) VALUES ('{A}', '{R}')",
    "job_deaths_pkey": "INSERT INTO job_deaths (id, job_id, payment_id, attempts)"
    f" VALUES (1, 1, '{A}', 1), (1, 1, '{A}', 1)",
    "job_status_known": "UPDATE recon_jobs SET status = 'done'",
    "processing_has_a_lease": "UPDATE recon_jobs SET status = 'processing'",
    "attempts_are_counted": "UPDATE recon_jobs SET attempts = -1",
    "dead_has_a_reason": "UPDATE recon_jobs SET status = 'failed'",
    "reconciliation_results_pkey": insert_result(id="1").replace(
        ") VALUES", ") OVERRIDING SYSTEM VALUE VALUES"
    ),
    "reconciliation_results_payment_id_key": insert_result(payment_id=f"'{C}'"),
    "result_is_of_one": insert_result(reversal_id=f"'{R}'"),
    "result_status_known": insert_result(status="'done'", matched="false"),
    "matched_means_completed": insert_result(matched="false"),
    "discrepancy_has_an_amount": insert_result(
        status="'completed_with_discrepancy'", matched="false"
    ),
    "accounts_pkey": "INSERT INTO accounts (account_id, currency, balance, seq, debits, credits)"
    " VALUES ('acc_1', 'USD', 0, 0, 0, 0)",
    "balance_is_credits_less_debits": "UPDATE accounts SET balance = balance + 1",
    "totals_are_not_negative": "UPDATE accounts SET debits = debits - 2, balance = balance + 2",
    "ledger_entries_pkey": POSTING.replace("(payment_id", "(id, payment_id")
    .replace(") VALUES", ") OVERRIDING SYSTEM VALUE VALUES")
    .replace(f"('{A}'", f"(1, '{A}'"),
    "ledger_entries_account_id_currency_account_seq_key": POSTING.replace(", 2, ", ", 1, "),
    "entry_amount_is_positive": POSTING.replace(", 1, 2", ", -1, 2"),
    "account_seq_starts_at_1": POSTING.replace(", 2, ", ", 0, "),
    "legs_are_of_their_kind": POSTING.replace("'credit'", "'debit'"),
    "reversals_pkey": insert_reversal(id=f"'{R}'"),
    "reversals_idempotency_key_key": insert_reversal(idempotency_key=f"'{R}'"),
    "reversal_key_has_1_to_255_chars": insert_reversal(idempotency_key="repeat('k', 256)"),
    "reversal_fingerprint_is_sha256": insert_reversal(request_fingerprint="'\\x00'"),
    "reversal_amount_is_positive": insert_reversal(amount="0"),
    "reversal_amount_needs_no_rounding": insert_reversal(amount="0.00001"),
    "reversal_reason_has_1_to_500_chars": insert_reversal(reason="''"),
    "reversal_reference_has_1_to_35_chars": insert_reversal(reference="repeat('r', 36)"),
    "reversal_metadata_is_a_small_object": insert_reversal(metadata="'[]'"),
    "reversal_status_known": f"UPDATE reversals SET status = 'done' WHERE id = '{R}'",
    "settled_reversal_has_a_time": f"UPDATE reversals SET status = 'failed' WHERE id = '{R}'",
    "reversal_totals_pkey": "SET session_replication_role = replica;"
    f" INSERT INTO reversal_totals VALUES ('{C}', 1, 0)",
    "reversals_never_exceed_the_payment": insert_reversal(amount="0.5001"),
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
    "ledger_seals_pkey": insert_seal(seq="1"),
    "ledger_seals_previous_hash_key": insert_seal(previous_hash=GENESIS),
    "seal_is_numbered_from_1": insert_seal(seq="0"),
    "seal_covers_a_range": insert_seal(from_entry_id="4"),
    "seal_hashes_are_sha256": insert_seal(seal_hash="''"),
    "seal_has_a_digest_an_entry": insert_seal(entry_count="1"),
    "seal_has_results_from_format_2": insert_seal_2(format_version="1"),
    "seal_has_a_digest_a_result": insert_seal_2(result_count="1"),
    "seal_verification_pkey": "INSERT INTO seal_verification DEFAULT VALUES",
    "seal_verification_is_one_row": "INSERT INTO seal_verification (only_row) VALUES (false)",
    "seal_problem_has_a_time": "UPDATE seal_verification SET problem = 'altered'",
    "last_backup_pkey": "INSERT INTO last_backup DEFAULT VALUES",
    "last_backup_is_one_row": "INSERT INTO last_backup (only_row) VALUES (false)",
    "api_keys_pkey": f"{insert_key()}, ('0123456789ab', sha256('t'), 'till', '{{payments:read}}')",
    "key_id_has_12_chars": insert_key(id="'0123456789AB'"),
    "secret_hash_is_sha256": insert_key(secret_hash="''"),
    "key_is_named": insert_key(name="''"),
    "key_allows_something": insert_key(scopes="'{}'"),
    "tenant_is_a_name": insert_key(tenant="'Acme'"),
    "operators_have_no_tenant": insert_key(tenant="'acme'", scopes="'{jobs:admin}'"),
    "audit_mode_known": "INSERT INTO audit_findings (invariant, offending, mode)"
    " VALUES ('x', 0, 'half')",
}

# Further statements that violate the same constraints.
ALSO_REFUSED = [
    ("amount_is_finite_and_bounded", insert_payment(amount="'Infinity'")),
    ("amount_is_finite_and_bounded", insert_payment(amount="1e15")),
    ("amount_is_finite_and_bounded", insert_payment(amount="-1e15")),
    ("key_has_1_to_255_chars", insert_payment(idempotency_key="''")),
    ("account_has_1_to_128_chars", insert_payment(account_id="repeat('a', 129)")),
    ("reference_has_1_to_35_chars", insert_payment(reference="''")),
    ("metadata_is_a_small_object", insert_payment(metadata="'{}'")),
    (
        "metadata_is_a_small_object",
        insert_payment(metadata="jsonb_build_object('k', repeat('v', 4096))"),
    ),
    ("settled_has_a_time", insert_payment(settled_at="now()")),
    ("entry_amount_is_positive", POSTING.replace(", 1, 2", ", 'NaN', 2")),
    ("entry_amount_is_positive", POSTING.replace(", 1, 2", ", 0, 2")),
    ("legs_are_of_their_kind", POSTING.replace("'acc_1'", "'sys:x'")),
    ("legs_are_of_their_kind", POSTING.replace("'sys:clearing:00'", "'acc_2'")),
    ("ledger_entries_of_a_posting", POSTING.replace(A, C)),
    ("ledger_entries_of_a_posting", f"{POSTED_BACK}; {POSTED_BACK.replace(', 2, ', ', 3, ')}"),
    *(
        ("legs_are_of_their_kind", POSTED_BACK.replace(*change))
        for change in (
            (f"'{S}'", "NULL"),
            ("'reversal', 'acc_1'", "'payment', 'acc_1'"),
            ("'reversal', 'debit'", "'payment', 'debit'"),
            ("'reversal', 'debit'", "'reversal', 'credit'"),
            ("'clearing', 'credit'", "'clearing', 'debit'"),
            ("'sys:clearing:00'", "'acc_2'"),
            ("'acc_1'", "'sys:clearing:01'"),
        )
    ),
    ("legs_are_of_their_kind", POSTED_BACK.replace("'reversal', ", "'adjustment', ")),
    ("job_is_of_one", "INSERT INTO recon_jobs DEFAULT VALUES"),
    (
        "recon_jobs_reversal",
        f"INSERT INTO recon_jobs (reversal_id) VALUES ('{R}'); "
        f"INSERT INTO recon_jobs (reversal_id) VALUES ('{R}')",
    ),
    ("result_is_of_one", insert_result(payment_id="NULL")),
    (
        "reconciliation_results_reversal",
        f"{insert_result(**NO_PAYMENT)}; {insert_result(**NO_PAYMENT)}",
    ),
    ("reversal_key_has_1_to_255_chars", insert_reversal(idempotency_key="''")),
    ("reversal_amount_is_positive", insert_reversal(amount="-1")),
    ("reversal_amount_is_positive", insert_reversal(amount="'NaN'")),
    ("reversal_amount_is_positive", insert_reversal(amount="'Infinity'")),
    ("reversal_reason_has_1_to_500_chars", insert_reversal(reason="repeat('r', 501)")),
    ("reversal_reference_has_1_to_35_chars", insert_reversal(reference="''")),
    ("reversal_metadata_is_a_small_object", insert_reversal(metadata="'{}'")),
    (
        "settled_reversal_has_a_time",
        f"UPDATE reversals SET settled_at = now() WHERE id = '{R}'",
    ),
    (
        "reversals_never_exceed_the_payment",
        f"{insert_reversal(amount='0.3')}; "
        + insert_reversal(id="gen_random_uuid()", idempotency_key="'newer'", amount="0.2001"),
    ),
    ("processing_has_a_lease", "UPDATE recon_jobs SET lease_token = gen_random_uuid()"),
    ("processing_has_a_lease", "UPDATE recon_jobs SET locked_until = now()"),
    ("discrepancy_has_an_amount", insert_result(discrepancy_amount="0.13")),
    ("matched_means_completed", insert_result(status="'failed'")),
    ("seal_hashes_are_sha256", insert_seal(mac="''")),
    ("seal_has_results_from_format_2", insert_seal(format_version="2")),
    ("seal_has_results_from_format_2", insert_seal_2(results_hash="NULL")),
    ("seal_has_results_from_format_2", insert_seal_2(from_result_id="4")),
    ("seal_has_a_digest_a_result", insert_seal_2(results_hash="''")),
]


@pytest.mark.parametrize(
    ("name", "statement"),
    [*CONSTRAINTS.items(), *ALSO_REFUSED],
)
async def test_each_constraint_refuses_by_its_name(ledger: Sql, name: str, statement: str) -> None:
    await assert_refused(ledger, statement, name)


async def test_every_constraint_of_the_schema_is_in_the_table_above(ledger: Sql) -> None:
    # The guards of statements, matching, adjustments and webhooks have tests of their own.
    others = "recon_(sources|rule_sets|cuts|days|runs|matches|breaks|adjust)|statement|webhook_"
    tables = f"^(?!{others}|match_legs|open_entries)"
    assert await constraints_of(ledger, tables) == set(CONSTRAINTS)


async def test_the_database_has_the_tables_of_tables_py_and_no_other(sql: Sql) -> None:
    rows = await sql.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {row[0] for row in rows} == {*metadata.tables, "alembic_version"}


async def test_frequently_changed_tables_are_vacuumed_often(sql: Sql) -> None:
    rows = await sql.fetch(
        "SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL AND relkind = 'r'"
    )
    options = {row["relname"]: set(row["reloptions"]) for row in rows}
    assert "autovacuum_vacuum_scale_factor=0.01" in options["recon_jobs"]
    assert "autovacuum_vacuum_scale_factor=0.02" in options["accounts"]
    assert "fillfactor=45" in options["payments"]
