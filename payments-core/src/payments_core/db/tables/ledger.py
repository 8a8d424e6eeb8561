"""Reconciliation results and the double-entry ledger."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from payments_core.db.tables.schema import metadata, one_of, timestamp
from payments_core.domain.statuses import RESULT_STATUSES

reconciliation_results = Table(
    "reconciliation_results",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    # A trigger checks the payments of all new rows at once; a foreign key would check each.
    Column("payment_id", Uuid),  # NULL for a reversal's result.
    # No foreign key: finished jobs are pruned, results are kept.
    Column("recon_job_id", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("matched", Boolean, nullable=False),
    Column("discrepancy_amount", Numeric),
    Column("notes", Text, nullable=False),
    # 0 is an operator's decision; from 1 on, the rules of recon_worker/reconciliation/rules.py.
    Column("rule_version", Integer, nullable=False),
    timestamp("created_at", default_now=True),
    Column("reversal_id", Uuid),
    UniqueConstraint("payment_id"),
    CheckConstraint("num_nonnulls(payment_id, reversal_id) = 1", name="result_is_of_one"),
    CheckConstraint(one_of("status", RESULT_STATUSES), name="result_status_known"),
    CheckConstraint("matched = (status = 'completed')", name="matched_means_completed"),
    CheckConstraint(
        "(status = 'completed_with_discrepancy') = (discrepancy_amount IS NOT NULL)",
        name="discrepancy_has_an_amount",
    ),
)
Index(
    "reconciliation_results_reversal",
    reconciliation_results.c.reversal_id,
    unique=True,
    postgresql_where=text("reversal_id IS NOT NULL"),
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
    timestamp("created_at", default_now=True),
    timestamp("updated_at", default_now=True),
    CheckConstraint("balance = credits - debits", name="balance_is_credits_less_debits"),
    CheckConstraint("debits >= 0 AND credits >= 0 AND seq >= 0", name="totals_are_not_negative"),
    # A head row is rewritten by every batch that touches it.
    postgresql_with={
        "fillfactor": 50,
        "autovacuum_vacuum_scale_factor": 0.02,
        "autovacuum_vacuum_cost_delay": 0,
    },
)
# Both columns COLLATE "C", which Alembic does not compare: names are ordered byte by byte, whatever
# the database's collation, so that one range holds the names with a prefix.
Index("accounts_by_name", accounts.c.account_id, accounts.c.currency)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    # Of an adjustment's legs the adjustment. Checked by a trigger, as above.
    Column("payment_id", Uuid, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("entry_type", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("amount", Numeric, nullable=False),
    Column("account_seq", BigInteger, nullable=False),
    Column("balance_after", Numeric, nullable=False),
    timestamp("created_at", default_now=True),
    UniqueConstraint("account_id", "currency", "account_seq"),
    # Of a reversal's legs the payment is the reversed one.
    Column("reversal_id", Uuid),
    Column("posting_kind", Text, nullable=False, server_default="payment"),
    CheckConstraint("amount > 0 AND amount < 1e15", name="entry_amount_is_positive"),
    CheckConstraint("account_seq > 0", name="account_seq_starts_at_1"),
    CheckConstraint(
        "posting_kind = 'payment' AND reversal_id IS NULL AND ("
        "entry_type = 'payment' AND direction = 'credit' AND account_id NOT LIKE 'sys:%'"
        " OR entry_type = 'clearing' AND direction = 'debit' AND account_id LIKE 'sys:clearing:%')"
        " OR posting_kind = 'reversal' AND reversal_id IS NOT NULL AND ("
        "entry_type = 'reversal' AND direction = 'debit' AND account_id NOT LIKE 'sys:%'"
        " OR entry_type = 'clearing' AND direction = 'credit'"
        " AND account_id LIKE 'sys:clearing:%')"
        " OR posting_kind = 'adjustment' AND reversal_id IS NULL AND ("
        "entry_type = 'adjustment' AND account_id LIKE 'sys:adjustment:%'"
        " OR entry_type = 'clearing' AND account_id LIKE 'sys:clearing:%')",
        name="legs_are_of_their_kind",
    ),
)
Index(
    "ledger_entries_of_a_posting",
    ledger_entries.c.payment_id,
    ledger_entries.c.entry_type,
    ledger_entries.c.reversal_id,
    unique=True,
    postgresql_nulls_not_distinct=True,
)
