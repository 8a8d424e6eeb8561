"""The payments of one tenant, newest first: an index that holds tenants' payments alone.

Where payments are many, it is built beforehand without stopping anybody; the revision says how.

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

# Reading so much takes about a second, for which nobody can pay.
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
    """Make the index, unless it is there or would take long."""
    op.execute(REFUSE_TO_BLOCK)
    op.execute(f"CREATE INDEX IF NOT EXISTS {INDEX}")


def downgrade() -> None:
    """Drop the index."""
    op.execute("DROP INDEX payments_by_tenant")
