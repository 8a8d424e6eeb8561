"""The audit log also records who created, rotated or revoked an API key, and when.

Revision ID: 0010
Revises: 0009
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

ADD = "ALTER TABLE operator_actions ADD CONSTRAINT action_known CHECK (action IN ("
BEFORE = "'create', 'replay', 'discard'"
SINCE = f"{BEFORE}, 'create_key', 'rotate_key', 'revoke_key'"
# Rows recorded by then stay: only new rows are checked.
BEFORE_AGAIN = f"""
DO $$ BEGIN IF EXISTS (SELECT FROM operator_actions WHERE action NOT IN ({BEFORE})) THEN
{ADD}{BEFORE})) NOT VALID; ELSE {ADD}{BEFORE})); END IF; END $$"""


def upgrade() -> None:
    """Allow three actions that the running release does not write."""
    op.execute("ALTER TABLE operator_actions DROP CONSTRAINT action_known")
    op.execute(f"{ADD}{SINCE})) NOT VALID")


def downgrade() -> None:
    """Drop those actions."""
    op.execute("ALTER TABLE operator_actions DROP CONSTRAINT action_known")
    op.execute(BEFORE_AGAIN)
