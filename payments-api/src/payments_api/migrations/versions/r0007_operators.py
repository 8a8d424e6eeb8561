"""The audit log also records operators' payments, and each action's key and trace.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ADD = "ALTER TABLE operator_actions ADD CONSTRAINT action_known CHECK (action IN "
THREE = ADD + "('create', 'replay', 'discard'))"
TWO = ADD + "('replay', 'discard'))"
# Rows recorded by then stay: only new rows are checked.
TWO_AGAIN = (
    "DO $$ BEGIN IF EXISTS (SELECT FROM operator_actions WHERE action = 'create') THEN "
    + TWO
    + " NOT VALID; ELSE "
    + TWO
    + "; END IF; END $$"
)


def upgrade() -> None:
    """Add columns that the running release leaves empty, and one action that it does not know."""
    op.execute(
        "ALTER TABLE operator_actions"
        " ADD COLUMN key_name text, ADD COLUMN trace_id text, ADD COLUMN payment_id uuid"
    )
    op.execute("ALTER TABLE operator_actions DROP CONSTRAINT action_known")
    op.execute(THREE + " NOT VALID")


def downgrade() -> None:
    """Drop the columns and the third action."""
    op.execute("ALTER TABLE operator_actions DROP CONSTRAINT action_known")
    op.execute(TWO_AGAIN)
    op.execute(
        "ALTER TABLE operator_actions"
        " DROP COLUMN payment_id, DROP COLUMN trace_id, DROP COLUMN key_name"
    )
