"""The payments."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Index,
    LargeBinary,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from payments_core.db.tables.schema import metadata, one_of, timestamp
from payments_core.domain.payments import DEFAULT_SOURCE
from payments_core.domain.statuses import PAYMENT_STATUSES, PENDING, SETTLED_STATUSES

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
    Column("status", Text, nullable=False, server_default=PENDING),
    Column("traceparent", Text),
    timestamp("created_at", default_now=True),
    timestamp("updated_at", default_now=True),
    timestamp("settled_at"),  # When it completed or failed; NULL while the payment is open.
    Column("reference", Text),
    Column("metadata", JSONB),  # NULL without any.
    Column("source", Text, nullable=False, server_default=DEFAULT_SOURCE),
    UniqueConstraint("idempotency_key"),
    CheckConstraint("length(idempotency_key) BETWEEN 1 AND 255", name="key_has_1_to_255_chars"),
    CheckConstraint("length(request_fingerprint) = 32", name="fingerprint_is_sha256"),
    CheckConstraint("length(account_id) BETWEEN 1 AND 128", name="account_has_1_to_128_chars"),
    CheckConstraint("account_id NOT LIKE 'sys:%'", name="no_payment_into_system_accounts"),
    # Postgres sorts NaN above every number, so this CHECK rejects NaN too.
    CheckConstraint("abs(amount) < 1e15", name="amount_is_finite_and_bounded"),
    CheckConstraint("scale(amount) <= 4", name="amount_needs_no_rounding"),
    CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_is_a_code"),
    CheckConstraint("length(description) <= 500", name="description_has_500_chars_at_most"),
    CheckConstraint("length(reference) BETWEEN 1 AND 35", name="reference_has_1_to_35_chars"),
    CheckConstraint(
        "jsonb_typeof(metadata) = 'object' AND metadata <> '{}'"
        " AND octet_length(metadata::text) <= 4096",
        name="metadata_is_a_small_object",
    ),
    CheckConstraint("source ~ '^[a-z0-9][a-z0-9-]{0,31}$'", name="source_is_a_name"),
    CheckConstraint(one_of("status", PAYMENT_STATUSES), name="payment_status_known"),
    CheckConstraint(
        f"({one_of('status', SETTLED_STATUSES)}) = (settled_at IS NOT NULL)",
        name="settled_has_a_time",
    ),
    CheckConstraint("status <> 'completed' OR amount > 0", name="completed_is_positive"),
    # A row is updated when it settles: half a page free keeps that update HOT.
    postgresql_with={"fillfactor": 45, "autovacuum_vacuum_scale_factor": 0.05},
)
Index("payments_by_account", payments.c.account_id, payments.c.id)
Index(
    "payments_by_reference",
    payments.c.reference,
    payments.c.id,
    postgresql_where=text("reference IS NOT NULL"),
)
# An account of a tenant is named `tenant~account`. Payments without one cost this index nothing.
has_tenant = literal_column("strpos(payments.account_id, '~') > 0", Boolean)
tenant_of: ColumnElement[str] = literal_column("split_part(payments.account_id, '~', 1)", Text)
Index(
    "payments_by_tenant",
    text("split_part(account_id, '~', 1)"),
    payments.c.id,
    postgresql_where=text("strpos(account_id, '~') > 0"),
)
