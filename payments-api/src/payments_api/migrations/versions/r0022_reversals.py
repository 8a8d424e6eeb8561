"""Reversals: their table and the sum that they never exceed, jobs, results and postings of them.

A job, a result and a posting is of a payment or of a reversal. The running release handles those of
payments as before. It claims a reversal's job too, but finds no payment to settle with it: the
job's lease expires, and after its attempts it is a dead letter, which a newer release replays.

Where the ledger or the results are large, their new indexes are built beforehand; the revision says
how.

Revision ID: 0022
Revises: 0021
"""

from alembic import op

from payments_api.migrations.versions.r0006_tenants import QUICK_BYTES_MAX
from payments_api.migrations.versions.r0011_function_paths import SAFE_PATH
from payments_api.migrations.versions.r0013_least_columns import BACK_DATED
from payments_api.migrations.versions.r0015_open_payments import REFUSE_STRAY_RESULT
from payments_api.migrations.versions.r0021_matching import ACTIONS

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

API, WORKER = "payments_api", "payments_worker"
READERS = "payments_api, payments_worker, payments_readonly"

REVERSALS = """
CREATE TABLE reversals (
    id uuid CONSTRAINT reversals_pkey PRIMARY KEY,
    idempotency_key text NOT NULL CONSTRAINT reversals_idempotency_key_key UNIQUE,
    request_fingerprint bytea NOT NULL,
    payment_id uuid NOT NULL,
    account_id text NOT NULL,
    currency text NOT NULL,
    source text NOT NULL,
    amount numeric NOT NULL,
    reason text NOT NULL,
    reference text,
    metadata jsonb,
    status text NOT NULL DEFAULT 'pending',
    traceparent text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    CONSTRAINT reversal_key_has_1_to_255_chars CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    CONSTRAINT reversal_fingerprint_is_sha256 CHECK (length(request_fingerprint) = 32),
    CONSTRAINT reversal_amount_is_positive CHECK (amount > 0 AND amount < 1e15),
    CONSTRAINT reversal_amount_needs_no_rounding CHECK (scale(amount) <= 4),
    CONSTRAINT reversal_reason_has_1_to_500_chars CHECK (length(reason) BETWEEN 1 AND 500),
    CONSTRAINT reversal_reference_has_1_to_35_chars CHECK (length(reference) BETWEEN 1 AND 35),
    CONSTRAINT reversal_metadata_is_a_small_object CHECK (
        jsonb_typeof(metadata) = 'object' AND metadata <> '{}'
        AND octet_length(metadata::text) <= 4096),
    CONSTRAINT reversal_status_known CHECK (status IN ('pending', 'completed', 'failed')),
    CONSTRAINT settled_reversal_has_a_time CHECK (
        (status IN ('completed', 'failed')) = (settled_at IS NOT NULL))
) WITH (fillfactor = 45, autovacuum_vacuum_scale_factor = 0.05)"""
REVERSALS_BY_PAYMENT = "CREATE INDEX reversals_by_payment ON reversals (payment_id, id)"

# `reserved` is the sum of a payment's reversals that have not failed.
TOTALS = """
CREATE TABLE reversal_totals (
    payment_id uuid CONSTRAINT reversal_totals_pkey PRIMARY KEY,
    amount numeric NOT NULL,
    reserved numeric NOT NULL,
    CONSTRAINT reversals_never_exceed_the_payment CHECK (reserved >= 0 AND reserved <= amount)
) WITH (fillfactor = 50)"""

# The first reversal inserts the payment's total, the others wait for its row and add to it.
RESERVE = f"""
CREATE FUNCTION public.reserve_reversal() RETURNS trigger LANGUAGE plpgsql
SET search_path = {SAFE_PATH} AS $$
BEGIN
    INSERT INTO public.reversal_totals AS total (payment_id, amount, reserved)
    SELECT id, amount, NEW.amount FROM public.payments
    WHERE id = NEW.payment_id AND status = 'completed' AND account_id = NEW.account_id
        AND currency = NEW.currency AND source = NEW.source
    ON CONFLICT (payment_id) DO UPDATE SET reserved = total.reserved + excluded.reserved;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'payment % is not completed with this account, currency and source',
            NEW.payment_id
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'reversals_are_of_payments',
                  HINT = 'Reverse a completed payment, with its account, currency and source.';
    END IF;
    RETURN NULL;
END $$"""
RELEASE = f"""
CREATE FUNCTION public.release_reversal() RETURNS trigger LANGUAGE plpgsql
SET search_path = {SAFE_PATH} AS $$
BEGIN
    UPDATE public.reversal_totals SET reserved = reserved - NEW.amount
    WHERE payment_id = NEW.payment_id;
    RETURN NULL;
END $$"""
REFUSE_FORGED = f"""
CREATE FUNCTION public.refuse_forged_reversal() RETURNS trigger LANGUAGE plpgsql
SET search_path = {SAFE_PATH} AS $$
BEGIN
    RAISE EXCEPTION '% may not settle reversal % as % at %',
        current_user, NEW.id, NEW.status, coalesce(NEW.settled_at, NEW.updated_at)
        USING ERRCODE = 'check_violation', CONSTRAINT = 'reversals_are_not_forged',
              HINT = 'Settle at the time of the transaction: the worker completes, the API fails.';
END $$"""
IMMUTABLE = (
    *("id", "idempotency_key", "request_fingerprint", "payment_id", "account_id", "currency"),
    *("source", "amount", "reason", "reference", "metadata", "traceparent", "created_at"),
)
_OLD, _NEW = (", ".join(f"{row}.{column}" for column in IMMUTABLE) for row in ("OLD", "NEW"))
TRIGGERS = (
    "CREATE TRIGGER reversals_reserve AFTER INSERT ON reversals FOR EACH ROW"
    " WHEN (NEW.status <> 'failed') EXECUTE FUNCTION public.reserve_reversal()",
    "CREATE TRIGGER reversals_release AFTER UPDATE ON reversals FOR EACH ROW"
    " WHEN (OLD.status <> 'failed' AND NEW.status = 'failed')"
    " EXECUTE FUNCTION public.release_reversal()",
    "CREATE TRIGGER settled_reversals_never_change AFTER UPDATE ON reversals FOR EACH ROW"
    f" WHEN (OLD.settled_at IS NOT NULL OR ({_OLD}) IS DISTINCT FROM ({_NEW}))"
    " EXECUTE FUNCTION public.refuse_change()",
    f"""
CREATE TRIGGER reversals_are_not_forged AFTER UPDATE ON reversals FOR EACH ROW
WHEN (current_user IN ('{API}', '{WORKER}')
      AND (NEW.updated_at <> now() OR NEW.settled_at <> now()
           OR NEW.status = CASE current_user WHEN '{API}' THEN 'completed' ELSE 'failed' END))
EXECUTE FUNCTION public.refuse_forged_reversal()""",
    "CREATE TRIGGER reversals_never_deleted BEFORE DELETE ON reversals"
    " FOR EACH ROW EXECUTE FUNCTION public.refuse_change()",
    "CREATE TRIGGER reversals_never_truncated BEFORE TRUNCATE ON reversals"
    " FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change()",
    # At depth 0 a statement of a session writes the totals, deeper the triggers above.
    "CREATE TRIGGER totals_follow_reversals BEFORE INSERT OR UPDATE OR DELETE ON reversal_totals"
    " FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION public.refuse_change()",
    "CREATE TRIGGER totals_never_truncated BEFORE TRUNCATE ON reversal_totals"
    " FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change()",
)

OLD_POSTING_KEY = "ledger_entries_payment_id_entry_type_key"
# An index → its table and columns.
INDEXES = {
    "ledger_entries_of_a_posting": (
        "ledger_entries",
        "(payment_id, entry_type, reversal_id) NULLS NOT DISTINCT",
    ),
    "reconciliation_results_reversal": (
        "reconciliation_results",
        "(reversal_id) WHERE reversal_id IS NOT NULL",
    ),
    "recon_jobs_reversal": ("recon_jobs", "(reversal_id) WHERE reversal_id IS NOT NULL"),
}
REFUSE_TO_BLOCK = """
DO $$
BEGIN
    IF to_regclass('{name}') IS NULL AND pg_relation_size('{table}') > {limit} THEN
        RAISE EXCEPTION 'building an index now would stop payments: run this first, then migrate:'
            ' ALTER TABLE {table} ADD COLUMN IF NOT EXISTS reversal_id uuid;'
            ' CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} {columns}'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$"""
ENTRY_CHECKS = {
    "legs_are_of_their_kind": """
        posting_kind = 'payment' AND reversal_id IS NULL AND (
            entry_type = 'payment' AND direction = 'credit' AND account_id NOT LIKE 'sys:%'
            OR entry_type = 'clearing' AND direction = 'debit'
            AND account_id LIKE 'sys:clearing:%')
        OR posting_kind = 'reversal' AND reversal_id IS NOT NULL AND (
            entry_type = 'reversal' AND direction = 'debit' AND account_id NOT LIKE 'sys:%'
            OR entry_type = 'clearing' AND direction = 'credit'
            AND account_id LIKE 'sys:clearing:%')""",
}
OLD_ENTRY_CHECK = (
    "payment_credits_and_clearing_debits",
    """
        entry_type = 'payment' AND direction = 'credit' AND account_id NOT LIKE 'sys:%'
        OR entry_type = 'clearing' AND direction = 'debit' AND account_id LIKE 'sys:clearing:%'""",
)

STRAY_POSTING = """
CREATE OR REPLACE FUNCTION public.refuse_stray_posting() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off
SET search_path = {path} AS $$
DECLARE
    broken uuid;
BEGIN
    SELECT payment_id INTO broken FROM posted GROUP BY payment_id{and_reversal}
    HAVING count(*) <> 2
        OR sum(CASE direction WHEN 'credit' THEN amount ELSE -amount END) <> 0
        OR min(currency) <> max(currency)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'unbalanced posting of payment %', broken
            USING ERRCODE = 'check_violation', CONSTRAINT = 'postings_balance',
                  HINT = 'Insert both legs, of one amount and currency, in one statement.';
    END IF;
    SELECT leg.payment_id INTO broken FROM posted AS leg
    WHERE leg.entry_type = 'payment' AND leg.amount IS DISTINCT FROM (
        SELECT amount FROM public.payments
        WHERE id = leg.payment_id AND status = 'completed'
            AND account_id = leg.account_id AND currency = leg.currency)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'payment % is not completed with this account, currency and amount', broken
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'postings_are_of_payments',
                  HINT = 'Complete the payment first; its posting says what the payment says.';
    END IF;{reversals}{back_dated}
    RETURN NULL;
END $$"""
POSTED_REVERSALS = """
    SELECT leg.reversal_id INTO broken FROM posted AS leg
    WHERE leg.entry_type = 'reversal' AND leg.amount IS DISTINCT FROM (
        SELECT amount FROM public.reversals
        WHERE id = leg.reversal_id AND status = 'completed' AND payment_id = leg.payment_id
            AND account_id = leg.account_id AND currency = leg.currency)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'reversal % is not completed with this account, currency and amount', broken
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'postings_are_of_reversals',
                  HINT = 'Complete the reversal first; its posting says what the reversal says.';
    END IF;"""

_OLD_STRAY_RESULT = REFUSE_STRAY_RESULT.format(path=SAFE_PATH, settled="settled_at IS NOT NULL")
_RECORDED_REVERSALS = """\
    SELECT result.reversal_id INTO broken FROM recorded AS result
    WHERE result.reversal_id IS NOT NULL AND (result.status = 'failed') IS DISTINCT FROM (
        SELECT status = 'failed' FROM public.reversals
        WHERE id = result.reversal_id AND settled_at IS NOT NULL)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'reversal % is not settled as this result says', broken
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'results_are_of_reversals',
                  HINT = 'Settle the reversal first, or in the same statement.';
    END IF;"""

STRAY_RESULT = _OLD_STRAY_RESULT.replace(
    "WHERE (result.status", "WHERE result.payment_id IS NOT NULL AND (result.status"
).replace("    IF current_user", f"{_RECORDED_REVERSALS}\n    IF current_user")

JOBS_ARE_OF_REVERSALS = """
ALTER TABLE recon_jobs ADD CONSTRAINT recon_jobs_reversal_id_fkey
FOREIGN KEY (reversal_id) REFERENCES reversals (id) NOT VALID"""
# A job and a result are of one payment or of one reversal.
OF_ONE = {
    "recon_jobs": "job_is_of_one",
    "reconciliation_results": "result_is_of_one",
}
GRANTS = (
    *(f"GRANT SELECT ON {table} TO {READERS}" for table in ("reversals", "reversal_totals")),
    "GRANT INSERT (id, idempotency_key, request_fingerprint, payment_id, account_id, currency,"
    f" source, amount, reason, reference, metadata, traceparent) ON reversals TO {API}",
    f"GRANT UPDATE (status, settled_at, updated_at) ON reversals TO {API}, {WORKER}",
    f"GRANT INSERT (payment_id, amount, reserved) ON reversal_totals TO {API}",
    f"GRANT UPDATE (reserved) ON reversal_totals TO {API}",
    f"GRANT INSERT (reversal_id) ON recon_jobs TO {API}",
    f"GRANT INSERT (reversal_id) ON job_deaths TO {WORKER}",
    f"GRANT INSERT (reversal_id) ON reconciliation_results TO {API}, {WORKER}",
    f"GRANT INSERT (posting_kind, reversal_id) ON ledger_entries TO {WORKER}",
)


# The lock waits for open creations and keeps new ones away: none commits after the question.
REFUSE_TO_FORGET = """
DO $$
BEGIN
    LOCK TABLE reversals IN SHARE MODE;
    IF EXISTS (SELECT FROM reversals) THEN
        RAISE EXCEPTION 'there are reversals, which revision 0021 cannot hold: stay at 0022;'
            ' the release of 0021 serves on this schema'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$"""


def _check(table: str, name: str, condition: str) -> None:
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID")


def _actions(actions: tuple[str, ...]) -> str:
    known = ", ".join(f"'{action}'" for action in actions)
    check = f"ADD CONSTRAINT action_known CHECK (action IN ({known})) NOT VALID"
    return f"ALTER TABLE operator_actions DROP CONSTRAINT action_known, {check}"


def upgrade() -> None:
    """Add the tables, and the columns by which jobs, results and entries name a reversal."""
    for name, (table, columns) in INDEXES.items():
        values = {"name": name, "table": table, "columns": columns, "limit": QUICK_BYTES_MAX}
        op.execute(REFUSE_TO_BLOCK.format(**values))
    for statement in (REVERSALS, REVERSALS_BY_PAYMENT, TOTALS, RESERVE, RELEASE, REFUSE_FORGED):
        op.execute(statement)
    for trigger in TRIGGERS:
        op.execute(trigger)
    for table in ("reversals", "reversal_totals"):
        op.execute(f"ALTER TABLE {table} OWNER TO payments_owner")
    for table in (*OF_ONE, "ledger_entries", "job_deaths"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS reversal_id uuid")
    kind = "posting_kind text NOT NULL DEFAULT 'payment'"
    op.execute(f"ALTER TABLE ledger_entries ADD COLUMN {kind}")
    for name, (table, columns) in INDEXES.items():
        op.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS {name} ON {table} {columns}")
    op.execute(JOBS_ARE_OF_REVERSALS)
    for table, name in OF_ONE.items():
        op.execute(f"ALTER TABLE {table} ALTER COLUMN payment_id DROP NOT NULL")
        _check(table, name, "num_nonnulls(payment_id, reversal_id) = 1")
    op.execute(f"ALTER TABLE ledger_entries DROP CONSTRAINT {OLD_POSTING_KEY}")
    op.execute(f"ALTER TABLE ledger_entries DROP CONSTRAINT {OLD_ENTRY_CHECK[0]}")
    for name, condition in ENTRY_CHECKS.items():
        _check("ledger_entries", name, condition)
    values = {"path": SAFE_PATH, "back_dated": BACK_DATED}
    op.execute(
        STRAY_POSTING.format(**values, and_reversal=", reversal_id", reversals=POSTED_REVERSALS)
    )
    op.execute(STRAY_RESULT)
    op.execute(_actions((*ACTIONS, "reverse")))
    for grant in GRANTS:
        op.execute(grant)


def downgrade() -> None:
    """Drop all of it. Fails if there are reversals: their postings are part of the balances."""
    op.execute(REFUSE_TO_FORGET)
    op.execute(_actions(ACTIONS))
    values = {"path": SAFE_PATH, "back_dated": BACK_DATED}
    op.execute(STRAY_POSTING.format(**values, and_reversal="", reversals=""))
    op.execute(_OLD_STRAY_RESULT)
    for name in ENTRY_CHECKS:
        op.execute(f"ALTER TABLE ledger_entries DROP CONSTRAINT {name}")
    name, condition = OLD_ENTRY_CHECK
    op.execute(f"ALTER TABLE ledger_entries ADD CONSTRAINT {name} CHECK ({condition})")
    op.execute("ALTER TABLE ledger_entries DROP COLUMN posting_kind, DROP COLUMN reversal_id")
    op.execute(
        f"ALTER TABLE ledger_entries ADD CONSTRAINT {OLD_POSTING_KEY}"
        " UNIQUE (payment_id, entry_type)"
    )
    op.execute("ALTER TABLE job_deaths DROP COLUMN reversal_id")
    for table in OF_ONE:
        op.execute(f"ALTER TABLE {table} DROP COLUMN reversal_id")
        op.execute(f"ALTER TABLE {table} ALTER COLUMN payment_id SET NOT NULL")
    op.execute("DROP TABLE reversal_totals, reversals")
    for function in ("reserve_reversal", "release_reversal", "refuse_forged_reversal"):
        op.execute(f"DROP FUNCTION public.{function}()")
