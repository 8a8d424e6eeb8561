"""Backups: a role that may read everything, and the time of the last backup.

The role needs no more: a backup also records its time. A migration whose role may not create
roles reports this and continues: a site that backs up by other means needs no such role.

Revision ID: 0019
Revises: 0018
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

READERS = "payments_api, payments_worker, payments_readonly"
TABLE = """
CREATE TABLE last_backup (
    only_row boolean DEFAULT true NOT NULL CONSTRAINT last_backup_pkey PRIMARY KEY,
    taken_at timestamptz,
    CONSTRAINT last_backup_is_one_row CHECK (only_row)
)"""
ROLE = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'payments_backup') THEN
        CREATE ROLE payments_backup LOGIN CONNECTION LIMIT 3;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN
        NULL;  -- Another database of the server created it at this moment.
    WHEN insufficient_privilege THEN
        RAISE WARNING 'left to an administrator: %', SQLERRM;
END $$"""
GRANT = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'payments_backup') THEN
        GRANT UPDATE (taken_at) ON last_backup TO payments_backup;
    END IF;
END $$"""


def upgrade() -> None:
    """Add the table and the role. `migrate` lets the role read every table."""
    op.execute(TABLE)
    op.execute("INSERT INTO last_backup DEFAULT VALUES")
    op.execute("ALTER TABLE last_backup OWNER TO payments_owner")
    op.execute(f"GRANT SELECT ON last_backup TO {READERS}")
    op.execute(ROLE)
    op.execute(GRANT)


def downgrade() -> None:
    """Drop the table. The role stays: other databases of the server may use it."""
    op.execute("DROP TABLE last_backup")
