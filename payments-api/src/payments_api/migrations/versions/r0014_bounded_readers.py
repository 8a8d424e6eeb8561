"""payments_readonly reads, within bounds, and no role stores large objects.

What keeps it from writing is that it has no privilege to write. Its settings are for accidents: a
session may change all but temp_file_limit. They hold in this database; the number of connections
holds in the whole server. A migration whose role may not alter the role says so and goes on.

Contract: 0.1.0 stores no large object.

Revision ID: 0014
Revises: 0013
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
# The first revision whose code reads this bound.
oldest_compatible = "0014"

CONNECTIONS_MAX = 20
SETTINGS = {
    "default_transaction_read_only": "on",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",
    "temp_file_limit": "1GB",
}

# PUBLIC may call these in every new database; the rest of their kind need an object to work on.
LARGE_OBJECT_WRITERS = (
    "lo_creat(integer)",
    "lo_create(oid)",
    "lo_from_bytea(oid, bytea)",
    "lo_put(oid, bigint, bytea)",
    "lo_truncate(integer, integer)",
    "lo_truncate64(integer, bigint)",
    "lo_unlink(oid)",
    "lowrite(integer, bytea)",
)

_IN_DATABASE = "ALTER ROLE payments_readonly IN DATABASE %I"


def _tolerant(statements: list[str]) -> str:
    """Return a block that warns, and changes nothing, where the role may not do so."""
    body = "\n".join(f"    {statement};" for statement in statements)
    return f"""
DO $$ BEGIN
{body}
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'left to an administrator: %', SQLERRM;
END $$"""


def upgrade() -> None:
    """Set the bounds, and take from everybody what only an owner of large objects needs."""
    settings = [
        f"EXECUTE format('{_IN_DATABASE} SET {name} = %L', current_database(), '{value}')"
        for name, value in SETTINGS.items()
    ]
    limit = f"ALTER ROLE payments_readonly CONNECTION LIMIT {CONNECTIONS_MAX}"
    op.execute(_tolerant([limit, *settings]))
    writers = ", ".join(f"pg_catalog.{function}" for function in LARGE_OBJECT_WRITERS)
    op.execute(_tolerant([f"REVOKE EXECUTE ON FUNCTION {writers} FROM PUBLIC"]))


def downgrade() -> None:
    """Lift the bounds of this database; the limit of connections stays with the role."""
    writers = ", ".join(f"pg_catalog.{function}" for function in LARGE_OBJECT_WRITERS)
    op.execute(_tolerant([f"GRANT EXECUTE ON FUNCTION {writers} TO PUBLIC"]))
    reset = f"EXECUTE format('{_IN_DATABASE} RESET ALL', current_database())"
    op.execute(_tolerant([reset]))
