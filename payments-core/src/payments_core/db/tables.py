"""The tables of the schema. The Alembic revisions hold triggers, roles and grants."""

from typing import TypeVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    bindparam,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE

_Value = TypeVar("_Value", str, int)

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ck": "%(constraint_name)s",
    }
)


def constant(value: _Value) -> BindParameter[_Value]:
    """Return a value that is written into the statement instead of being a parameter.

    A generic plan cannot use an index that is partial by this value, and estimates a tenth of the
    table for any LIMIT. Each value makes its own statement, so use it for few values only.
    """
    return bindparam(None, value, unique=True, literal_execute=True)


def _time(name: str, *, default_now: bool = False) -> Column[object]:
    if default_now:
        return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())
    return Column(name, DateTime(timezone=True))


# The payment's row is also the idempotency record: unique key and request fingerprint.
# Its id is a UUIDv7, so the primary key is also the index by age.
payments = Table(
    "payments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("idempotency_key", Text, nullable=False),
    Column("request_fingerprint", LargeBinary, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("amount", Numeric, nullable=False),
    Column("currency", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("traceparent", Text),
    _time("created_at", default_now=True),
    _time("updated_at", default_now=True),
    _time("settled_at"),  # When the payment completed or failed.
    UniqueConstraint("idempotency_key"),
    CheckConstraint("length(idempotency_key) BETWEEN 1 AND 255", name="key_has_1_to_255_chars"),
    CheckConstraint("length(request_fingerprint) = 32", name="fingerprint_is_sha256"),
    CheckConstraint("length(account_id) BETWEEN 1 AND 128", name="account_has_1_to_128_chars"),
    CheckConstraint("account_id NOT LIKE 'sys:%'", name="no_payment_into_system_accounts"),
    # Postgres sorts NaN above every number, so this rejects NaN too.
    CheckConstraint("abs(amount) < 1e15", name="amount_is_finite_and_bounded"),
    CheckConstraint("scale(amount) <= 4", name="amount_needs_no_rounding"),
    CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_is_a_code"),
    CheckConstraint("length(description) <= 500", name="description_has_500_chars_at_most"),
    CheckConstraint("status IN ('pending', 'completed', 'failed')", name="payment_status_known"),
    CheckConstraint("(status = 'pending') = (settled_at IS NULL)", name="settled_has_a_time"),
    CheckConstraint("status <> 'completed' OR amount > 0", name="completed_is_positive"),
    # Each row is updated once, when it settles: half a page free keeps that update HOT.
    postgresql_with={"fillfactor": 45, "autovacuum_vacuum_scale_factor": 0.05},
)
Index("payments_by_account", payments.c.account_id, payments.c.id)
# An account of a tenant is named `tenant~account`. Payments without one cost this index nothing.
has_tenant = literal_column("strpos(payments.account_id, '~') > 0", Boolean)
tenant_of: ColumnElement[str] = literal_column("split_part(payments.account_id, '~', 1)", Text)
Index(
    "payments_by_tenant",
    text("split_part(account_id, '~', 1)"),
    payments.c.id,
    postgresql_where=text("strpos(account_id, '~') > 0"),
)

recon_jobs = Table(
    "recon_jobs",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("payment_id", Uuid, ForeignKey("payments.id"), nullable=False),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("priority", SmallInteger, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("max_attempts", Integer, nullable=False, server_default="10"),
    _time("run_at", default_now=True),
    Column("locked_by", Text),
    _time("locked_at"),
    _time("locked_until"),
    Column("lease_token", Uuid),
    Column("last_error", Text),
    Column("traceparent", Text),
    _time("created_at", default_now=True),
    _time("updated_at", default_now=True),
    UniqueConstraint("payment_id"),
    CheckConstraint(
        "status IN ('pending', 'processing', 'completed', 'failed')", name="job_status_known"
    ),
    CheckConstraint(
        "(status = 'processing') = (lease_token IS NOT NULL)"
        " AND (lease_token IS NULL) = (locked_until IS NULL)",
        name="processing_has_a_lease",
    ),
    CheckConstraint("attempts >= 0 AND max_attempts > 0", name="attempts_are_counted"),
    CheckConstraint("status <> 'failed' OR last_error IS NOT NULL", name="dead_has_a_reason"),
    # The hot table: every job is updated twice within moments, so vacuum runs often.
    postgresql_with={
        "fillfactor": 70,
        "autovacuum_vacuum_scale_factor": 0.01,
        "autovacuum_vacuum_threshold": 1000,
        "autovacuum_vacuum_cost_delay": 0,
        "autovacuum_analyze_scale_factor": 0.05,
    },
)
_jobs = recon_jobs.c
Index(
    "recon_jobs_claimable",
    _jobs.priority,
    _jobs.run_at,
    _jobs.id,
    postgresql_where=text("status = 'pending'"),
)
Index("recon_jobs_leased", _jobs.locked_until, postgresql_where=text("status = 'processing'"))
Index("recon_jobs_dead", _jobs.id, postgresql_where=text("status = 'failed'"))
Index("recon_jobs_unfinished", _jobs.payment_id, postgresql_where=text("status <> 'completed'"))

reconciliation_results = Table(
    "reconciliation_results",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    # A trigger checks the payments of all new rows at once; a foreign key would check each.
    Column("payment_id", Uuid, nullable=False),
    # No foreign key: finished jobs are pruned, results are kept.
    Column("recon_job_id", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("matched", Boolean, nullable=False),
    Column("discrepancy_amount", Numeric),
    Column("notes", Text, nullable=False),
    # 0 is an operator's decision; from 1 on, the rules of recon_worker/reconciliation/rules.py.
    Column("rule_version", Integer, nullable=False),
    _time("created_at", default_now=True),
    UniqueConstraint("payment_id"),
    CheckConstraint(
        "status IN ('completed', 'completed_with_discrepancy', 'failed')",
        name="result_status_known",
    ),
    CheckConstraint("matched = (status = 'completed')", name="matched_means_completed"),
    CheckConstraint(
        "(status = 'completed_with_discrepancy') = (discrepancy_amount IS NOT NULL)",
        name="discrepancy_has_an_amount",
    ),
)
Index(
    "reconciliation_results_unmatched",
    reconciliation_results.c.status,
    reconciliation_results.c.payment_id,
    postgresql_where=text("status <> 'completed'"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("balance", Numeric, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("debits", Numeric, nullable=False),
    Column("credits", Numeric, nullable=False),
    _time("created_at", default_now=True),
    _time("updated_at", default_now=True),
    CheckConstraint("balance = credits - debits", name="balance_is_credits_less_debits"),
    CheckConstraint("debits >= 0 AND credits >= 0 AND seq >= 0", name="totals_are_not_negative"),
    # A head row is rewritten by every batch that touches it.
    postgresql_with={
        "fillfactor": 50,
        "autovacuum_vacuum_scale_factor": 0.02,
        "autovacuum_vacuum_cost_delay": 0,
    },
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("payment_id", Uuid, nullable=False),  # Checked by a trigger, as above.
    Column("account_id", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("entry_type", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("amount", Numeric, nullable=False),
    Column("account_seq", BigInteger, nullable=False),
    Column("balance_after", Numeric, nullable=False),
    _time("created_at", default_now=True),
    UniqueConstraint("account_id", "currency", "account_seq"),
    UniqueConstraint("payment_id", "entry_type"),
    CheckConstraint("amount > 0 AND amount < 1e15", name="entry_amount_is_positive"),
    CheckConstraint("account_seq > 0", name="account_seq_starts_at_1"),
    CheckConstraint(
        "entry_type = 'payment' AND direction = 'credit' AND account_id NOT LIKE 'sys:%'"
        " OR entry_type = 'clearing' AND direction = 'debit' AND account_id LIKE 'sys:clearing:%'",
        name="payment_credits_and_clearing_debits",
    ),
)

# Operators' actions: append-only, like the ledger. No foreign keys: jobs are pruned, and an action
# need not lock its payment's row.
operator_actions = Table(
    "operator_actions",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("action", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("job_ids", ARRAY(BigInteger), nullable=False),
    # Not the begin of the transaction, which may be long ago.
    Column(
        "created_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.clock_timestamp(),
    ),
    Column("key_name", Text),
    Column("trace_id", Text),
    Column("payment_id", Uuid),
    CheckConstraint(
        "action IN ('create', 'replay', 'discard', 'create_key', 'rotate_key', 'revoke_key')",
        name="action_known",
    ),
    CheckConstraint("length(actor) BETWEEN 1 AND 200", name="actor_is_named"),
    CheckConstraint("length(reason) <= 1000", name="reason_has_1000_chars_at_most"),
)

# A worker's heartbeat, and what it settled in each ten seconds: for people and dashboards.
workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("version", Text, nullable=False),
    _time("started_at", default_now=True),
    _time("seen_at", default_now=True),
    Column("completed_total", BigInteger, nullable=False, server_default="0"),
    postgresql_with={"fillfactor": 50},
)
THROUGHPUT_BUCKET_SECONDS = 10
worker_throughput = Table(
    "worker_throughput",
    metadata,
    Column("bucket_start", DateTime(timezone=True), primary_key=True),
    Column("worker_id", Text, primary_key=True),
    Column("completed", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("discrepancy", BigInteger, nullable=False),
    postgresql_with={"fillfactor": 50},
)

# The auditor's position (one row) and its last finding for each invariant.
audit_progress = Table(
    "audit_progress",
    metadata,
    Column("only_row", Boolean, primary_key=True, server_default=text("true")),
    Column("entries_verified_to", BigInteger, nullable=False, server_default="0"),
    Column("results_verified_to", BigInteger, nullable=False, server_default="0"),
    Column(
        "payments_verified_to",
        Uuid,
        nullable=False,
        server_default="00000000-0000-0000-0000-000000000000",
    ),
    _time("updated_at", default_now=True),
    CheckConstraint("only_row", name="progress_is_one_row"),
)
audit_findings = Table(
    "audit_findings",
    metadata,
    Column("invariant", Text, primary_key=True),
    Column("offending", BigInteger, nullable=False),
    Column("mode", Text, nullable=False),
    _time("checked_at", default_now=True),
    CheckConstraint("mode IN ('incremental', 'full')", name="audit_mode_known"),
)

# The hashes of the API keys that `payments-api keys` created.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("tenant", Text),
    Column("replaces", Text),
    _time("created_at", default_now=True),
    _time("expires_at"),
    _time("revoked_at"),
    _time("last_used_at"),
    CheckConstraint("id ~ '^[0-9a-z]{12}$'", name="key_id_has_12_chars"),
    CheckConstraint("length(secret_hash) = 32", name="secret_hash_is_sha256"),
    CheckConstraint("length(name) BETWEEN 1 AND 100", name="key_is_named"),
    CheckConstraint("cardinality(scopes) > 0", name="key_allows_something"),
    CheckConstraint("tenant ~ '^[a-z0-9][a-z0-9-]{0,31}$'", name="tenant_is_a_name"),
    # Queue, workers and auditor serve all tenants, so their operators see all tenants.
    CheckConstraint(
        "tenant IS NULL OR NOT 'jobs:admin' = ANY (scopes)", name="operators_have_no_tenant"
    ),
)

# Each seal holds the hash of a range of entries, of a range of results with their payments, and
# of the seal before it: recon_worker/sealing/.
ledger_seals = Table(
    "ledger_seals",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("format_version", SmallInteger, nullable=False),
    # Both included, with everything between them: a gap is sealed as a gap.
    Column("from_entry_id", BigInteger, nullable=False),
    Column("to_entry_id", BigInteger, nullable=False),
    Column("entry_count", Integer, nullable=False),
    Column("entry_ids", INT8MULTIRANGE, nullable=False),
    Column("entries_hash", LargeBinary, nullable=False),
    # Eight bytes of each entry's hash, in the order of ids: they identify a changed entry.
    Column("entry_digests", LargeBinary, nullable=False),
    # The same for results, each hashed with its payment. Format 1 has none.
    Column("from_result_id", BigInteger),
    Column("to_result_id", BigInteger),
    Column("result_count", Integer),
    Column("result_ids", INT8MULTIRANGE),
    Column("results_hash", LargeBinary),
    Column("result_digests", LargeBinary),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("seal_hash", LargeBinary, nullable=False),
    Column("mac", LargeBinary),
    Column("sealed_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("previous_hash"),  # A chain never forks.
    CheckConstraint("seq > 0", name="seal_is_numbered_from_1"),
    CheckConstraint("from_entry_id <= to_entry_id + 1", name="seal_covers_a_range"),
    CheckConstraint(
        "length(entries_hash) = 32 AND length(previous_hash) = 32"
        " AND length(seal_hash) = 32 AND length(coalesce(mac, seal_hash)) = 32",
        name="seal_hashes_are_sha256",
    ),
    CheckConstraint(
        "entry_count >= 0 AND length(entry_digests) = 8 * entry_count",
        name="seal_has_a_digest_an_entry",
    ),
    CheckConstraint(
        "num_nulls(from_result_id, to_result_id, result_count, result_ids, results_hash,"
        " result_digests) = CASE format_version WHEN 1 THEN 6 ELSE 0 END"
        " AND from_result_id <= to_result_id + 1",
        name="seal_has_results_from_format_2",
    ),
    CheckConstraint(
        "result_count >= 0 AND length(result_digests) = 8 * result_count"
        " AND length(results_hash) = 32",
        name="seal_has_a_digest_a_result",
    ),
)
# How far running workers have verified the seals again, and what they found (one row).
seal_verification = Table(
    "seal_verification",
    metadata,
    Column("only_row", Boolean, primary_key=True, server_default=text("true")),
    Column("verified_seq", BigInteger, nullable=False, server_default="0"),
    _time("verified_at"),
    _time("pass_started_at"),
    _time("pass_completed_at"),
    Column("problem", Text),
    Column("problem_seq", BigInteger),
    Column("problem_entry_id", BigInteger),
    Column("problem_result_id", BigInteger),
    _time("problem_at"),
    CheckConstraint("only_row", name="seal_verification_is_one_row"),
    CheckConstraint("(problem IS NULL) = (problem_at IS NULL)", name="seal_problem_has_a_time"),
)
