"""The auditor stores the first rows that violate an invariant, for the page to link to.

Beside the running release: its auditor does not name the column, which then keeps its last value.

Revision ID: 0020
Revises: 0019
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, which rewrites no row; the worker may fill it."""
    op.execute("ALTER TABLE audit_findings ADD COLUMN offenders jsonb NOT NULL DEFAULT '[]'")
    op.execute("GRANT INSERT (offenders), UPDATE (offenders) ON audit_findings TO payments_worker")


def downgrade() -> None:
    """Drop the column."""
    op.execute("ALTER TABLE audit_findings DROP COLUMN offenders")
