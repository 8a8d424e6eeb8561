"""Webhooks: endpoints and their secrets, deliveries and their attempts, the fan-out's position."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)

from payments_core.db.tables.schema import metadata, one_of, timestamp
from payments_core.domain import webhooks as words

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Uuid, primary_key=True),  # A UUIDv7: ordered by age.
    Column("tenant", Text),  # NULL: the events of all tenants.
    Column("url", Text, nullable=False),
    Column("types", ARRAY(Text), nullable=False, server_default="{}"),  # Empty: all of them.
    Column("description", Text, nullable=False, server_default=""),
    timestamp("created_at", default_now=True),
    Column("enabled_at", DateTime(timezone=True), server_default=func.now()),  # NULL: disabled.
    # How far events had been turned into deliveries when it was enabled. It receives later ones:
    # times would skip an event that commits late, or after a clock has been set back.
    Column("after_position", BigInteger, nullable=False, server_default="0"),
    Column("disabled_reason", Text),
    timestamp("disabled_at"),  # Set by a trigger, for the event of the disabling.
    # Since the first failure after the last success; NULL if the last attempt succeeded.
    timestamp("failing_since"),
    timestamp("paused_until"),  # No attempt before: Retry-After, or it only fails.
    timestamp("deleted_at"),
    CheckConstraint("tenant ~ '^[a-z0-9][a-z0-9-]{0,31}$'", name="webhook_tenant_is_a_name"),
    CheckConstraint("length(url) BETWEEN 1 AND 2000", name="webhook_has_a_url"),
    CheckConstraint("length(description) <= 500", name="webhook_description_is_short"),
    CheckConstraint(
        one_of("disabled_reason", words.DISABLED_REASONS), name="disabled_reason_known"
    ),
    CheckConstraint(
        "num_nulls(enabled_at, disabled_reason) = 1", name="disabled_webhook_has_a_reason"
    ),
    CheckConstraint("deleted_at IS NULL OR enabled_at IS NULL", name="deleted_webhook_is_disabled"),
)
Index(
    "webhook_endpoints_by_tenant",
    webhook_endpoints.c.tenant,
    webhook_endpoints.c.id,
    postgresql_where=text("deleted_at IS NULL"),
)
# A claim looks at each enabled endpoint, however many were deleted.
Index(
    "webhook_endpoints_enabled",
    webhook_endpoints.c.id,
    postgresql_where=text("enabled_at IS NOT NULL"),
)

# The current secret has no expiry, the previous one has: at most two for each endpoint.
webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("endpoint_id", Uuid, ForeignKey("webhook_endpoints.id"), nullable=False),
    Column("secret", LargeBinary, nullable=False),
    timestamp("created_at", default_now=True),
    timestamp("expires_at"),
    CheckConstraint("length(secret) BETWEEN 24 AND 64", name="secret_has_24_to_64_bytes"),
)
Index(
    "webhook_secrets_current_and_previous",
    webhook_secrets.c.endpoint_id,
    text("(expires_at IS NULL)"),
    unique=True,
)

# A signature covers id.timestamp.body, so an id with dots could hold another body; parsers differ
# on repeated names. One fixed shape leaves nothing to interpret.
_EVENT_ID = "^evt_[0-9a-f]{32}$"
_TEST_BODY = (
    r'^\{"type":"webhook\.test","timestamp":"[0-9T:.Z-]{20,30}",'
    r'"data":\{"endpointId":"[0-9a-f-]{36}"\},"id":"evt_[0-9a-f]{32}"\}$'
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", Uuid, primary_key=True),  # A UUIDv7: ordered by age.
    Column("endpoint_id", Uuid, ForeignKey("webhook_endpoints.id"), nullable=False),
    Column("position", BigInteger),  # In the event log; NULL for a test event.
    Column("event_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("payment_id", Uuid),  # Its deliveries are sent one after the other.
    Column("body", Text, nullable=False),  # Sent byte for byte at each attempt.
    Column("status", Text, nullable=False, server_default="pending"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("earlier_attempts", Integer, nullable=False, server_default="0"),  # Before a resend.
    # Of a leased delivery, when the lease expires.
    timestamp("next_attempt_at", default_now=True),
    Column("lease_token", Uuid),
    Column(
        "give_up_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=text(f"now() + interval '{words.RETRIED_DAYS} days'"),
    ),
    timestamp("created_at", default_now=True),
    timestamp("finished_at"),
    UniqueConstraint("endpoint_id", "position"),
    CheckConstraint(one_of("status", words.DELIVERY_STATUSES), name="delivery_status_known"),
    CheckConstraint(
        "(status = 'pending') = (finished_at IS NULL)"
        " AND (status = 'pending' OR lease_token IS NULL)",
        name="finished_delivery_has_a_time",
    ),
    CheckConstraint(
        "attempts >= earlier_attempts AND earlier_attempts >= 0",
        name="delivery_attempts_are_counted",
    ),
    # The API inserts test deliveries alone, and cannot have another event signed.
    CheckConstraint(
        "(position IS NULL) = (type = 'webhook.test')"
        f" AND (position IS NOT NULL OR event_id ~ '{_EVENT_ID}' AND body ~ '{_TEST_BODY}')",
        name="only_tests_have_no_position",
    ),
    postgresql_with={
        "fillfactor": 70,
        "autovacuum_vacuum_scale_factor": 0.02,
        "autovacuum_analyze_scale_factor": 0.05,
    },
)
_deliveries = webhook_deliveries.c
Index(
    "webhook_deliveries_due",
    _deliveries.endpoint_id,
    _deliveries.next_attempt_at,
    postgresql_where=text("status = 'pending'"),
)
Index(
    "webhook_deliveries_of_payment",
    _deliveries.payment_id,
    _deliveries.endpoint_id,
    _deliveries.position,
    postgresql_where=text("status = 'pending'"),
)
Index("webhook_deliveries_by_endpoint", _deliveries.endpoint_id, _deliveries.id)
Index("webhook_deliveries_by_status", _deliveries.endpoint_id, _deliveries.status, _deliveries.id)

webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    Column(
        "delivery_id",
        Uuid,
        ForeignKey("webhook_deliveries.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("number", Integer, primary_key=True),
    timestamp("started_at", default_now=True),
    Column("duration_seconds", Float, nullable=False),
    # The answer's status and its begin, or the error by which there was none.
    Column("status_code", Integer),
    Column("answer", Text),
    Column("error", Text),
    CheckConstraint("number > 0", name="webhook_attempts_are_numbered"),
    CheckConstraint(
        "num_nonnulls(status_code, error) > 0 AND length(answer) <= 1024 AND length(error) <= 500",
        name="attempt_has_an_outcome",
    ),
)

# The event of an endpoint that the system disabled, with an id from the results' sequence.
webhook_disablings = Table(
    "webhook_disablings",
    metadata,
    Column("id", BigInteger, Sequence("reconciliation_results_id_seq"), primary_key=True),
    Column("event_id", Uuid, nullable=False, server_default=text("gen_random_uuid()")),
    Column("endpoint_id", Uuid, ForeignKey("webhook_endpoints.id"), nullable=False),
    Column("reason", Text, nullable=False),
    timestamp("failing_since"),
    timestamp("created_at", default_now=True),
    CheckConstraint(one_of("reason", words.DISABLED_REASONS[1:]), name="disabling_reason_known"),
)
# One disabling is one event: a trigger compares its time with the endpoint's.
Index(
    "webhook_disablings_once",
    webhook_disablings.c.endpoint_id,
    webhook_disablings.c.created_at,
    unique=True,
)

# The position in the event log up to which deliveries exist (one row).
webhook_cursor = Table(
    "webhook_cursor",
    metadata,
    Column("only_row", Boolean, primary_key=True, server_default=text("true")),
    Column("position", BigInteger, nullable=False),
    timestamp("updated_at", default_now=True),
    CheckConstraint("only_row", name="webhook_cursor_is_one_row"),
)
