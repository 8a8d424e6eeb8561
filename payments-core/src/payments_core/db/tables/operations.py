"""Operators' actions, and the workers' heartbeats and throughput."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Table,
    Text,
    Uuid,
    func,
    text,
)

from payments_core.db.tables.schema import metadata, one_of, timestamp
from payments_core.domain.statuses import OPERATOR_ACTIONS

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
    Column("subject", Text),  # The object of an action that concerns no job: "source bank-eur".
    CheckConstraint(
        one_of("action", OPERATOR_ACTIONS),
        name="action_known",
    ),
    CheckConstraint("length(actor) BETWEEN 1 AND 200", name="actor_is_named"),
    CheckConstraint("length(reason) <= 1000", name="reason_has_1000_chars_at_most"),
)

# A worker's heartbeat, and its settled payments per ten seconds: for people and dashboards.
workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("version", Text, nullable=False),
    timestamp("started_at", default_now=True),
    timestamp("seen_at", default_now=True),
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

# When the last backup began (one row).
last_backup = Table(
    "last_backup",
    metadata,
    Column("only_row", Boolean, primary_key=True, server_default=text("true")),
    timestamp("taken_at"),
    CheckConstraint("only_row", name="last_backup_is_one_row"),
)
