"""The API keys."""

from sqlalchemy import ARRAY, CheckConstraint, Column, LargeBinary, Table, Text

from payments_core.db.tables.schema import metadata, timestamp

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
    timestamp("created_at", default_now=True),
    timestamp("expires_at"),
    timestamp("revoked_at"),
    timestamp("last_used_at"),
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
