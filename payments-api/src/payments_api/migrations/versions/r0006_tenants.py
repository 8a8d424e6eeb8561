"""An index over tenants' payments only, by tenant and newest first.

On a large table, build it beforehand without blocking writers; the revision says how.

Revision ID: 0006
Revises: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INDEX = """payments_by_tenant ON payments (split_part(account_id, '~', 1), id)
    WHERE strpos(account_id, '~') > 0"""

# Reading this many rows takes about a second, during which no payment can be created.
QUICK_BYTES_MAX = 256 * 1024 * 1024

REFUSE_TO_BLOCK = f"""
DO $$
BEGIN
    IF to_regclass('payments_by_tenant') IS NULL
       AND pg_relation_size('payments') > {QUICK_BYTES_MAX} THEN
        RAISE EXCEPTION 'building an index now would stop payments: run this first, then migrate:'
            ' CREATE INDEX CONCURRENTLY payments_by_tenant ON payments'
            ' (split_part(account_id, ''~'', 1), id) WHERE strpos(account_id, ''~'') > 0'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$"""


def upgrade() -> None:
    """Create the index, unless it exists or would take long."""
    op.execute(REFUSE_TO_BLOCK)
    op.execute(f"CREATE INDEX IF NOT EXISTS {INDEX}")


def downgrade() -> None:
    """Drop the index."""
    op.execute("DROP INDEX payments_by_tenant")
