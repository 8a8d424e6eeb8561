"""Payments, their jobs and results, and the double-entry ledger.

Revision ID: 0001
Revises:
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = {
    "payments": """
        CREATE TABLE payments (
            id uuid CONSTRAINT payments_pkey PRIMARY KEY,
            idempotency_key text NOT NULL CONSTRAINT payments_idempotency_key_key UNIQUE,
            request_fingerprint bytea NOT NULL,
            account_id text NOT NULL,
            amount numeric NOT NULL,
            currency text NOT NULL,
            description text NOT NULL,
            status text NOT NULL DEFAULT 'pending',
            traceparent text,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            settled_at timestamptz,
            CONSTRAINT key_has_1_to_255_chars CHECK (length(idempotency_key) BETWEEN 1 AND 255),
            CONSTRAINT fingerprint_is_sha256 CHECK (length(request_fingerprint) = 32),
            CONSTRAINT account_has_1_to_128_chars CHECK (length(account_id) BETWEEN 1 AND 128),
            CONSTRAINT no_payment_into_system_accounts CHECK (account_id NOT LIKE 'sys:%'),
            CONSTRAINT amount_is_finite_and_bounded CHECK (abs(amount) < 1e15),
            CONSTRAINT amount_needs_no_rounding CHECK (scale(amount) <= 4),
            CONSTRAINT currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$'),
            CONSTRAINT description_has_500_chars_at_most CHECK (length(description) <= 500),
            CONSTRAINT payment_status_known CHECK (status IN ('pending', 'completed', 'failed')),
            CONSTRAINT settled_has_a_time CHECK ((status = 'pending') = (settled_at IS NULL)),
            CONSTRAINT completed_is_positive CHECK (status <> 'completed' OR amount > 0)
        ) WITH (fillfactor = 55, autovacuum_vacuum_scale_factor = 0.05)""",
    "recon_jobs": """
        CREATE TABLE recon_jobs (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT recon_jobs_pkey PRIMARY KEY,
            payment_id uuid NOT NULL CONSTRAINT recon_jobs_payment_id_key UNIQUE
                CONSTRAINT recon_jobs_payment_id_fkey REFERENCES payments (id),
            status text NOT NULL DEFAULT 'pending',
            priority smallint NOT NULL DEFAULT 0,
            attempts integer NOT NULL DEFAULT 0,
            max_attempts integer NOT NULL DEFAULT 10,
            run_at timestamptz NOT NULL DEFAULT now(),
            locked_by text,
            locked_at timestamptz,
            locked_until timestamptz,
            lease_token uuid,
            last_error text,
            traceparent text,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT job_status_known
                CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
            CONSTRAINT processing_has_a_lease
                CHECK ((status = 'processing') = (lease_token IS NOT NULL)
                       AND (lease_token IS NULL) = (locked_until IS NULL)),
            CONSTRAINT attempts_are_counted CHECK (attempts >= 0 AND max_attempts > 0),
            CONSTRAINT dead_has_a_reason CHECK (status <> 'failed' OR last_error IS NOT NULL)
        ) WITH (
            fillfactor = 70,
            autovacuum_vacuum_scale_factor = 0.01,
            autovacuum_vacuum_threshold = 1000,
            autovacuum_vacuum_cost_delay = 0,
            autovacuum_analyze_scale_factor = 0.05
        )""",
    "reconciliation_results": """
        CREATE TABLE reconciliation_results (
            id bigint GENERATED ALWAYS AS IDENTITY
                CONSTRAINT reconciliation_results_pkey PRIMARY KEY,
            payment_id uuid NOT NULL CONSTRAINT reconciliation_results_payment_id_key UNIQUE
                CONSTRAINT reconciliation_results_payment_id_fkey REFERENCES payments (id),
            recon_job_id bigint NOT NULL,
            status text NOT NULL,
            matched boolean NOT NULL,
            discrepancy_amount numeric,
            notes text NOT NULL,
            rule_version integer NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT result_status_known
                CHECK (status IN ('completed', 'completed_with_discrepancy', 'failed')),
            CONSTRAINT matched_means_completed CHECK (matched = (status = 'completed')),
            CONSTRAINT discrepancy_has_an_amount
                CHECK ((status = 'completed_with_discrepancy') = (discrepancy_amount IS NOT NULL))
        )""",
    "accounts": """
        CREATE TABLE accounts (
            account_id text NOT NULL,
            currency text NOT NULL,
            balance numeric NOT NULL,
            seq bigint NOT NULL,
            debits numeric NOT NULL,
            credits numeric NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT accounts_pkey PRIMARY KEY (account_id, currency),
            CONSTRAINT balance_is_credits_less_debits CHECK (balance = credits - debits),
            CONSTRAINT totals_are_not_negative CHECK (debits >= 0 AND credits >= 0 AND seq >= 0)
        ) WITH (
            fillfactor = 50,
            autovacuum_vacuum_scale_factor = 0.02,
            autovacuum_vacuum_cost_delay = 0
        )""",
    "ledger_entries": """
        CREATE TABLE ledger_entries (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT ledger_entries_pkey PRIMARY KEY,
            payment_id uuid NOT NULL
                CONSTRAINT ledger_entries_payment_id_fkey REFERENCES payments (id),
            account_id text NOT NULL,
            currency text NOT NULL,
            entry_type text NOT NULL,
            direction text NOT NULL,
            amount numeric NOT NULL,
            account_seq bigint NOT NULL,
            balance_after numeric NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT ledger_entries_account_id_currency_account_seq_key
                UNIQUE (account_id, currency, account_seq),
            CONSTRAINT ledger_entries_payment_id_entry_type_key UNIQUE (payment_id, entry_type),
            CONSTRAINT entry_amount_is_positive CHECK (amount > 0 AND amount < 1e15),
            CONSTRAINT account_seq_starts_at_1 CHECK (account_seq > 0),
            CONSTRAINT payment_credits_and_clearing_debits CHECK (
                entry_type = 'payment' AND direction = 'credit' AND account_id NOT LIKE 'sys:%'
                OR entry_type = 'clearing' AND direction = 'debit'
                   AND account_id LIKE 'sys:clearing:%')
        )""",
    "operator_actions": """
        CREATE TABLE operator_actions (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT operator_actions_pkey PRIMARY KEY,
            action text NOT NULL,
            actor text NOT NULL,
            reason text NOT NULL,
            job_ids bigint[] NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT action_known CHECK (action IN ('replay', 'discard')),
            CONSTRAINT actor_is_named CHECK (length(actor) BETWEEN 1 AND 200),
            CONSTRAINT reason_has_1000_chars_at_most CHECK (length(reason) <= 1000)
        )""",
    "workers": """
        CREATE TABLE workers (
            id text CONSTRAINT workers_pkey PRIMARY KEY,
            host text NOT NULL,
            version text NOT NULL,
            started_at timestamptz NOT NULL DEFAULT now(),
            seen_at timestamptz NOT NULL DEFAULT now(),
            completed_total bigint NOT NULL DEFAULT 0
        ) WITH (fillfactor = 50)""",
    "worker_throughput": """
        CREATE TABLE worker_throughput (
            bucket_start timestamptz NOT NULL,
            worker_id text NOT NULL,
            completed bigint NOT NULL,
            failed bigint NOT NULL,
            discrepancy bigint NOT NULL,
            CONSTRAINT worker_throughput_pkey PRIMARY KEY (bucket_start, worker_id)
        ) WITH (fillfactor = 50)""",
    "audit_progress": """
        CREATE TABLE audit_progress (
            only_row boolean DEFAULT true NOT NULL CONSTRAINT audit_progress_pkey PRIMARY KEY,
            entries_verified_to bigint NOT NULL DEFAULT 0,
            results_verified_to bigint NOT NULL DEFAULT 0,
            payments_verified_to uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT progress_is_one_row CHECK (only_row)
        )""",
    "audit_findings": """
        CREATE TABLE audit_findings (
            invariant text CONSTRAINT audit_findings_pkey PRIMARY KEY,
            offending bigint NOT NULL,
            mode text NOT NULL,
            checked_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT audit_mode_known CHECK (mode IN ('incremental', 'full'))
        )""",
}

INDEXES = (
    "CREATE INDEX payments_by_account ON payments (account_id, id)",
    "CREATE INDEX recon_jobs_claimable ON recon_jobs (priority, run_at, id)"
    " WHERE status = 'pending'",
    "CREATE INDEX recon_jobs_leased ON recon_jobs (locked_until) WHERE status = 'processing'",
    "CREATE INDEX recon_jobs_dead ON recon_jobs (id) WHERE status = 'failed'",
    "CREATE INDEX recon_jobs_unfinished ON recon_jobs (payment_id) WHERE status <> 'completed'",
    "CREATE INDEX reconciliation_results_unmatched ON reconciliation_results (status, payment_id)"
    " WHERE status <> 'completed'",
)


def upgrade() -> None:
    """Create every table after those that it references."""
    for statement in (*TABLES.values(), *INDEXES):
        op.execute(statement)
    op.execute("INSERT INTO audit_progress DEFAULT VALUES")


def downgrade() -> None:
    """Drop every table with its data."""
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE {table}")
