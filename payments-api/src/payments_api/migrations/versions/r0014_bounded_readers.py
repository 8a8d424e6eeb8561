"""payments_readonly reads within bounds, and no role stores large objects.

The role cannot write because it has no privilege to write. Its settings protect against accidents:
a session may change all of them except temp_file_limit. They apply to this database; the connection
limit applies to the whole server. A migration whose role may not alter payments_readonly reports
this and continues.

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

# PUBLIC may call these in every new database; the other such functions need an existing object.
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
    """Return a block that warns, and changes nothing, if the role lacks the privilege."""
    body = "\n".join(f"    {statement};" for statement in statements)
    return f"""
DO $$ BEGIN
{body}
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'left to an administrator: %', SQLERRM;
END $$"""


def upgrade() -> None:
    """Set the bounds, and revoke the functions of large objects from PUBLIC."""
    settings = [
        f"EXECUTE format('{_IN_DATABASE} SET {name} = %L', current_database(), '{value}')"
        for name, value in SETTINGS.items()
    ]
    limit = f"ALTER ROLE payments_readonly CONNECTION LIMIT {CONNECTIONS_MAX}"
    op.execute(_tolerant([limit, *settings]))
    writers = ", ".join(f"pg_catalog.{function}" for function in LARGE_OBJECT_WRITERS)
    op.execute(_tolerant([f"REVOKE EXECUTE ON FUNCTION {writers} FROM PUBLIC"]))


def downgrade() -> None:
    """Remove the bounds of this database; the connection limit stays with the role."""
    writers = ", ".join(f"pg_catalog.{function}" for function in LARGE_OBJECT_WRITERS)
    op.execute(_tolerant([f"GRANT EXECUTE ON FUNCTION {writers} TO PUBLIC"]))
    reset = f"EXECUTE format('{_IN_DATABASE} RESET ALL', current_database())"
    op.execute(_tolerant([reset]))
