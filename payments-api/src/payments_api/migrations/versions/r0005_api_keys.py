"""API keys, by which the API knows its callers.

Revision ID: 0005
Revises: 0004
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE api_keys (
    id text CONSTRAINT api_keys_pkey PRIMARY KEY,
    secret_hash bytea NOT NULL,
    name text NOT NULL,
    scopes text[] NOT NULL,
    tenant text,
    replaces text,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    CONSTRAINT key_id_has_12_chars CHECK (id ~ '^[0-9a-z]{12}$'),
    CONSTRAINT secret_hash_is_sha256 CHECK (length(secret_hash) = 32),
    CONSTRAINT key_is_named CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT key_allows_something CHECK (cardinality(scopes) > 0),
    CONSTRAINT tenant_is_a_name CHECK (tenant ~ '^[a-z0-9][a-z0-9-]{0,31}$'),
    CONSTRAINT operators_have_no_tenant
        CHECK (tenant IS NULL OR NOT 'jobs:admin' = ANY (scopes))
)"""

# The API reads keys and records their use; only the owner creates or ends one.
GRANTS = (
    "GRANT SELECT, UPDATE (last_used_at) ON api_keys TO payments_api",
    "GRANT SELECT (id, name, scopes, tenant, replaces, created_at, expires_at, revoked_at,"
    " last_used_at) ON api_keys TO payments_readonly",
)


def upgrade() -> None:
    """Create the table for the owner; let the API read it."""
    op.execute(TABLE)
    op.execute("ALTER TABLE api_keys OWNER TO payments_owner")
    for grant in GRANTS:
        op.execute(grant)


def downgrade() -> None:
    """Drop the table with every key."""
    op.execute("DROP TABLE api_keys")
