"""Constraints, triggers, grants, the functions' search path, and roles' passwords."""

from testkit.mutants.mutation import of

API = "payments-api/src/payments_api"
VERSIONS = f"{API}/migrations/versions"
TESTS = "payments-api/tests/migrations"

tables = of(f"{VERSIONS}/r0001_tables.py", f"{TESTS}/guards/test_guards.py")
key_table = of(f"{VERSIONS}/r0005_api_keys.py", f"{TESTS}/guards/test_guards.py")
guards = of(f"{VERSIONS}/r0002_guards.py", f"{TESTS}/guards/test_triggers.py")
roles = of(f"{VERSIONS}/r0003_roles.py", f"{TESTS}/roles/test_roles.py")
rights = of(f"{VERSIONS}/r0003_roles.py", f"{TESTS}/roles/test_privileges.py")
seals = of(f"{VERSIONS}/r0008_ledger_seals.py", f"{TESTS}/guards/test_triggers.py")
postings = of(f"{VERSIONS}/r0022_reversals.py", f"{TESTS}/guards/test_triggers.py")
kinds = of(f"{VERSIONS}/r0025_adjustments.py", f"{TESTS}/guards/test_triggers.py")
paths = of(f"{VERSIONS}/r0011_function_paths.py", f"{TESTS}/roles/test_function_paths.py")
columns = of(f"{VERSIONS}/r0013_least_columns.py", f"{TESTS}/roles/test_privileges.py")
forgery = of(f"{VERSIONS}/r0013_least_columns.py", f"{TESTS}/guards/test_forgery.py")
OPEN_PAYMENTS = f"{VERSIONS}/r0015_open_payments.py"
open_rows = of(OPEN_PAYMENTS, f"{TESTS}/guards/test_guards.py")
open_payments = of(OPEN_PAYMENTS, f"{TESTS}/guards/test_triggers.py")
open_results = of(f"{VERSIONS}/r0022_reversals.py", f"{TESTS}/test_open_statuses.py")
forged_results = of(OPEN_PAYMENTS, f"{TESTS}/guards/test_forgery.py")
readers = of(f"{VERSIONS}/r0014_bounded_readers.py", f"{TESTS}/roles/test_roles.py")
passwords = of(f"{API}/role_passwords.py", f"{TESTS}/roles/test_role_passwords.py")

CONSTRAINTS = "test_each_constraint_refuses_by_its_name"
HISTORY = "test_history_never_changes_and_postings_balance"
RIGHTS = "test_each_privilege_on_each_object_is_listed"

MUTATIONS = (
    tables(
        "the database keeps more decimals than a currency has",
        "scale(amount) <= 4",
        "scale(amount) <= 8",
        CONSTRAINTS,
    ),
    tables(
        "the database has no upper limit",
        "abs(amount) < 1e15",
        "abs(amount) < 1e16",
        CONSTRAINTS,
    ),
    tables(
        "a balance is not its credits less its debits",
        "CHECK (balance = credits - debits)",
        "CHECK (balance <= credits)",
        CONSTRAINTS,
    ),
    open_rows(
        "an open payment has a time of settlement",
        "\"(status IN ('completed', 'failed')) = (settled_at IS NOT NULL)\"",
        "\"status NOT IN ('completed', 'failed') OR settled_at IS NOT NULL\"",
        CONSTRAINTS,
    ),
    tables(
        "a negative payment is completed",
        "CHECK (status <> 'completed' OR amount > 0)",
        "CHECK (status <> 'completed' OR amount <> 0)",
        CONSTRAINTS,
    ),
    key_table(
        "an operators' key has a tenant",
        "CHECK (tenant IS NULL OR NOT 'jobs:admin' = ANY (scopes))",
        "CHECK (true)",
        CONSTRAINTS,
    ),
    guards(
        "history is deleted",
        "BEFORE UPDATE OR DELETE ON {table}",
        "BEFORE UPDATE ON {table}",
        HISTORY,
    ),
    guards(
        "payments are truncated",
        'for table in (*APPEND_ONLY_TABLES, "payments"):',
        "for table in APPEND_ONLY_TABLES:",
        HISTORY,
    ),
    guards(
        "a payment is deleted",
        "BEFORE DELETE ON payments",
        "BEFORE DELETE ON accounts",
        HISTORY,
    ),
    open_payments(
        "a settled payment changes",
        '"OLD.settled_at IS NOT NULL")',
        '"false")',
        HISTORY,
    ),
    open_results(
        "an open payment has a result",
        'settled="settled_at IS NOT NULL"',
        'settled="true"',
        "test_an_open_payment_has_no_result",
    ),
    guards(
        "a payment's amount changes",
        "OLD.account_id, OLD.amount,",
        "OLD.account_id, NEW.amount,",
        HISTORY,
    ),
    seals(
        "a seal is deleted",
        "BEFORE UPDATE OR DELETE ON ledger_seals",
        "BEFORE UPDATE ON ledger_seals",
        HISTORY,
    ),
    postings(
        "a posting does not balance",
        "OR sum(CASE direction WHEN 'credit' THEN amount ELSE -amount END) <> 0",
        "",
        HISTORY,
    ),
    kinds(
        "a posting mixes currencies",
        'f"{CURRENCIES}        OR',
        'f"        OR',
        HISTORY,
    ),
    postings(
        "a posting is of less than its payment",
        "leg.amount IS DISTINCT FROM (\n        SELECT amount FROM public.payments",
        "leg.amount > (\n        SELECT amount FROM public.payments",
        HISTORY,
    ),
    postings(
        "a posting is to another account than its payment",
        "AND status = 'completed'\n            AND account_id = leg.account_id AND currency",
        "AND status = 'completed'\n            AND currency",
        HISTORY,
    ),
    open_payments(
        "a result is of no payment",
        "(result.status = 'failed') IS DISTINCT FROM (",
        "(result.status = 'failed') <> (",
        HISTORY,
    ),
    roles(
        "the owner logs in",
        "('payments_owner', 'NOLOGIN')",
        "('payments_owner', 'LOGIN')",
        "test_the_owner_cannot_log_in",
    ),
    rights(
        "the API posts",
        "GRANT INSERT ON payments, recon_jobs,",
        "GRANT INSERT ON ledger_entries, payments, recon_jobs,",
        RIGHTS,
    ),
    rights(
        "the worker deletes payments",
        "GRANT UPDATE, DELETE ON recon_jobs TO payments_worker",
        "GRANT UPDATE, DELETE ON recon_jobs, payments TO payments_worker",
        RIGHTS,
    ),
    paths(
        "functions search temporary objects first",
        'SAFE_PATH = "pg_catalog, public, pg_temp"',
        'SAFE_PATH = "pg_catalog, public"',
        "test_every_function_searches_temporary_objects_last",
    ),
    paths(
        "every role creates temporary objects",
        'op.execute(TEMPORARY.format("REVOKE", "FROM"))',
        "pass",
        "test_no_role_can_create_an_object",
    ),
    paths(
        "a superuser's rights are lent",
        "ALTER FUNCTION public.oldest_transaction_age_seconds() OWNER TO payments_observer;",
        "",
        "test_every_function_searches_temporary_objects_last",
    ),
    columns(
        "the API gives jobs more attempts",
        '("UPDATE", "recon_jobs", API, "status, attempts,',
        '("UPDATE", "recon_jobs", API, "status, max_attempts, attempts,',
        RIGHTS,
    ),
    columns(
        "the worker dates results",
        'WORKER, f"{_RESULT}, discrepancy_amount"',
        'WORKER, f"{_RESULT}, created_at, discrepancy_amount"',
        RIGHTS,
    ),
    forgery(
        "a settlement is back-dated",
        "NEW.updated_at <> now() OR NEW.settled_at <> now()",
        "NEW.updated_at <> now()",
        "test_a_settlement_has_the_time_of_its_transaction",
    ),
    forgery(
        "the API completes payments",
        "OR current_user = '{API}' AND NEW.status = 'completed'",
        "",
        "test_the_api_cannot_complete_a_payment",
    ),
    forged_results(
        "the API decides by rules",
        "WHERE status <> 'failed' OR rule_version <> 0",
        "WHERE status <> 'failed'",
        "test_the_api_cannot_record_a_result_of_the_rules",
    ),
    forgery(
        "a posting is back-dated",
        "FROM posted WHERE created_at < now()",
        "FROM posted WHERE created_at < now() - interval '9 years'",
        "test_a_posting_cannot_be_backdated",
    ),
    forgery(
        "a seal covers ids to come",
        "OR NEW.to_entry_id > (SELECT last_value FROM public.ledger_entries_id_seq)",
        "",
        "test_a_seal_that_would_stop_the_sealer_is_rejected",
    ),
    forgery(
        "a seal follows no other",
        "(NEW.previous_hash, NEW.from_entry_id) IS DISTINCT FROM (previous_hash, sealed_to + 1)",
        "NEW.from_entry_id <> sealed_to + 1",
        "test_a_seal_that_would_stop_the_sealer_is_rejected",
    ),
    forgery(
        "an action is dated by its transaction",
        '{ACTION_TIME} clock_timestamp()"',
        '{ACTION_TIME} now()"',
        "test_an_action_has_the_time_of_its_insert_in_an_old_transaction",
    ),
    readers(
        "the reader writes",
        '"default_transaction_read_only": "on"',
        '"default_transaction_read_only": "off"',
        "test_the_reader_has_time_limits",
    ),
    passwords(
        "a password is sent as it is",
        '"v": scram_verifier(password)',
        '"v": password',
        "test_passwords_work_and_never_reach_the_servers_log",
    ),
)
