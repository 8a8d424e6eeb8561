"""The reversals of payments, and the sum of each payment's reversals."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Index,
    LargeBinary,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from payments_core.db.tables.schema import metadata, one_of, timestamp
from payments_core.domain.statuses import PAYMENT_STATUSES, PENDING, SETTLED_STATUSES

# Account, currency and source are the payment's, by a trigger, so that posting joins nothing.
reversals = Table(
    "reversals",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("idempotency_key", Text, nullable=False),
    Column("request_fingerprint", LargeBinary, nullable=False),
    Column("payment_id", Uuid, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("amount", Numeric, nullable=False),
    Column("reason", Text, nullable=False),
    Column("reference", Text),
    Column("metadata", JSONB),
    Column("status", Text, nullable=False, server_default=PENDING),
    Column("traceparent", Text),
    timestamp("created_at", default_now=True),
    timestamp("updated_at", default_now=True),
    timestamp("settled_at"),
    UniqueConstraint("idempotency_key"),
    CheckConstraint(
        "length(idempotency_key) BETWEEN 1 AND 255", name="reversal_key_has_1_to_255_chars"
    ),
    CheckConstraint("length(request_fingerprint) = 32", name="reversal_fingerprint_is_sha256"),
    CheckConstraint("amount > 0 AND amount < 1e15", name="reversal_amount_is_positive"),
    CheckConstraint("scale(amount) <= 4", name="reversal_amount_needs_no_rounding"),
    CheckConstraint("length(reason) BETWEEN 1 AND 500", name="reversal_reason_has_1_to_500_chars"),
    CheckConstraint(
        "length(reference) BETWEEN 1 AND 35", name="reversal_reference_has_1_to_35_chars"
    ),
    CheckConstraint(
        "jsonb_typeof(metadata) = 'object' AND metadata <> '{}'"
        " AND octet_length(metadata::text) <= 4096",
        name="reversal_metadata_is_a_small_object",
    ),
    CheckConstraint(one_of("status", PAYMENT_STATUSES), name="reversal_status_known"),
    CheckConstraint(
        f"({one_of('status', SETTLED_STATUSES)}) = (settled_at IS NOT NULL)",
        name="settled_reversal_has_a_time",
    ),
    postgresql_with={"fillfactor": 45, "autovacuum_vacuum_scale_factor": 0.05},
)
Index("reversals_by_payment", reversals.c.payment_id, reversals.c.id)

# Triggers keep `reserved` the sum of the payment's reversals that have not failed. The row is also
# the lock that concurrent reversals of one payment wait for.
reversal_totals = Table(
    "reversal_totals",
    metadata,
    Column("payment_id", Uuid, primary_key=True),
    Column("amount", Numeric, nullable=False),
    Column("reserved", Numeric, nullable=False),
    CheckConstraint(
        "reserved >= 0 AND reserved <= amount", name="reversals_never_exceed_the_payment"
    ),
    postgresql_with={"fillfactor": 50},
)
