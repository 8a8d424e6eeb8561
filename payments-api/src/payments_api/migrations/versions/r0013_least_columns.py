"""Each service inserts and updates only the columns that it fills; the database fills the rest.

The database fills ids, numbers and times. Triggers check the values that a service must write: a
settlement has the time of its transaction, a posting is not back-dated, the API settles payments as
failed only, and a seal continues the chain up to ids that were handed out.

Contract: 0.1.0 writes no column that loses its privilege here.

Revision ID: 0013
Revises: 0012
"""

from alembic import op

from payments_api.migrations.versions.r0009_set_based_references import (
    REFUSE_STRAY_POSTING,
    REFUSE_STRAY_RESULT,
)
from payments_api.migrations.versions.r0011_function_paths import SAFE_PATH, qualified

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

API, WORKER = "payments_api", "payments_worker"
_ACTION = "action, actor, reason, job_ids, key_name, trace_id, payment_id"
_RESULT = "payment_id, recon_job_id, status, matched, notes, rule_version"

# (privilege, table, role, columns); without columns the whole privilege is revoked.
COLUMNS = (
    (
        *("INSERT", "payments", API),
        "id, idempotency_key, request_fingerprint, account_id, amount, currency, description,"
        " traceparent",
    ),
    ("INSERT", "recon_jobs", API, "payment_id, traceparent"),
    ("UPDATE", "recon_jobs", API, "status, attempts, run_at, updated_at"),
    (
        *("UPDATE", "recon_jobs", WORKER),
        "status, attempts, run_at, locked_by, locked_at, locked_until, lease_token, last_error,"
        " updated_at",
    ),
    ("INSERT", "reconciliation_results", API, _RESULT),
    ("INSERT", "reconciliation_results", WORKER, f"{_RESULT}, discrepancy_amount"),
    (
        *("INSERT", "ledger_entries", WORKER),
        "payment_id, account_id, currency, entry_type, direction, amount, account_seq,"
        " balance_after, created_at",
    ),
    ("UPDATE", "accounts", WORKER, "balance, seq, debits, credits, updated_at"),
    ("INSERT", "operator_actions", API, _ACTION),
    ("INSERT", "operator_actions", WORKER, _ACTION),
    ("INSERT", "workers", WORKER, "id, host, version, completed_total"),
    ("UPDATE", "workers", WORKER, "seen_at, completed_total"),
    ("UPDATE", "worker_throughput", WORKER, "completed, failed, discrepancy"),
    ("INSERT", "audit_findings", WORKER, "invariant, offending, mode"),
    ("UPDATE", "audit_findings", WORKER, "offending, mode, checked_at"),
    ("INSERT", "audit_progress", WORKER, ""),
)

# A transaction that has been open since yesterday would date the row yesterday.
ACTION_TIME = "ALTER TABLE operator_actions ALTER COLUMN created_at SET DEFAULT "

REFUSE_BROKEN_CHAIN = f"""
CREATE FUNCTION public.refuse_broken_chain() RETURNS trigger LANGUAGE plpgsql
SET search_path = {SAFE_PATH} AS $$
DECLARE
    previous_hash bytea := decode(repeat('00', 32), 'hex');
    sealed_to bigint := 0;
BEGIN
    IF NEW.seq > 1 THEN
        SELECT seal_hash, to_entry_id INTO previous_hash, sealed_to
        FROM public.ledger_seals WHERE seq = NEW.seq - 1;
    END IF;
    IF (NEW.previous_hash, NEW.from_entry_id) IS DISTINCT FROM (previous_hash, sealed_to + 1)
        OR NEW.to_entry_id > (SELECT last_value FROM public.ledger_entries_id_seq)
        OR NEW.sealed_at NOT BETWEEN now() AND clock_timestamp()
        OR NEW.from_result_id <> 1 + coalesce((
            SELECT to_result_id FROM public.ledger_seals
            WHERE seq < NEW.seq AND to_result_id IS NOT NULL ORDER BY seq DESC LIMIT 1), 0)
        OR NEW.to_result_id > (SELECT last_value FROM public.reconciliation_results_id_seq) THEN
        RAISE EXCEPTION 'seal % does not continue the chain', NEW.seq
            USING ERRCODE = 'check_violation', CONSTRAINT = 'seals_continue_the_chain',
                  HINT = 'Follow the last seal in number, hash and range, up to ids handed out.';
    END IF;
    RETURN NULL;
END $$"""

REFUSE_FORGED_SETTLEMENT = f"""
CREATE FUNCTION public.refuse_forged_settlement() RETURNS trigger LANGUAGE plpgsql
SET search_path = {SAFE_PATH} AS $$
BEGIN
    RAISE EXCEPTION '% may not settle payment % as % at %',
        current_user, NEW.id, NEW.status, coalesce(NEW.settled_at, NEW.updated_at)
        USING ERRCODE = 'check_violation', CONSTRAINT = 'settlements_are_not_forged',
              HINT = 'Settle at the time of the transaction; the API fails payments alone.';
END $$"""

# Administrators are not checked: they move data between systems, times included.
TRIGGERS = (
    "CREATE TRIGGER seals_continue_the_chain AFTER INSERT ON ledger_seals"
    " FOR EACH ROW EXECUTE FUNCTION public.refuse_broken_chain()",
    f"""
CREATE TRIGGER settlements_are_not_forged AFTER UPDATE ON payments FOR EACH ROW
WHEN (current_user IN ('{API}', '{WORKER}')
      AND (NEW.updated_at <> now() OR NEW.settled_at <> now()
           OR current_user = '{API}' AND NEW.status = 'completed'))
EXECUTE FUNCTION public.refuse_forged_settlement()""",
)

BACK_DATED = f"""
    IF current_user = '{WORKER}' AND EXISTS (SELECT FROM posted WHERE created_at < now()) THEN
        RAISE EXCEPTION 'a posting is dated before its transaction'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'postings_are_not_back_dated',
                  HINT = 'Date an entry by the clock, or by its account''s last entry if later.';
    END IF;"""
_DECIDED_BY_API = f"""
    IF current_user = '{API}' AND EXISTS (
        SELECT FROM recorded WHERE status <> 'failed' OR rule_version <> 0) THEN
        RAISE EXCEPTION 'the API records discarded payments alone'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'results_are_of_rules',
                  HINT = 'Leave what the rules decide to the worker.';
    END IF;"""


def _guard(function: str, also: str = "") -> str:
    body = qualified(function).replace("\n    RETURN NULL;", f"{also}\n    RETURN NULL;")
    return body.replace(" AS $$", f"\nSET search_path = {SAFE_PATH} AS $$")


def upgrade() -> None:
    """Replace table privileges by column privileges, in one transaction."""
    op.execute(_guard(REFUSE_STRAY_POSTING, BACK_DATED))
    op.execute(_guard(REFUSE_STRAY_RESULT, _DECIDED_BY_API))
    op.execute(REFUSE_BROKEN_CHAIN)
    op.execute(REFUSE_FORGED_SETTLEMENT)
    for trigger in TRIGGERS:
        op.execute(trigger)
    op.execute(f"{ACTION_TIME} clock_timestamp()")
    for privilege, table, role, columns in COLUMNS:
        # Revoking a table's privilege also revokes those of its columns.
        op.execute(f"REVOKE {privilege} ON {table} FROM {role}")
        if columns:
            op.execute(f"GRANT {privilege} ({columns}) ON {table} TO {role}")


def downgrade() -> None:
    """Grant whole tables again, and drop the checks."""
    for privilege, table, role, _ in COLUMNS:
        op.execute(f"REVOKE {privilege} ON {table} FROM {role}")
        op.execute(f"GRANT {privilege} ON {table} TO {role}")
    op.execute(f"{ACTION_TIME} now()")
    op.execute("DROP FUNCTION public.refuse_forged_settlement() CASCADE")
    op.execute("DROP FUNCTION public.refuse_broken_chain() CASCADE")
    for function in (REFUSE_STRAY_RESULT, REFUSE_STRAY_POSTING):
        op.execute(_guard(function))
