"""A payment has a reference, metadata and a source; accounts are listed by name.

Beside the running release: it writes payments without them, and each column has a default. Where
payments or accounts are many, their indexes are built beforehand; the revision says how.

Revision ID: 0016
Revises: 0015
"""

from alembic import op

from payments_api.migrations.versions.r0006_tenants import QUICK_BYTES_MAX
from payments_api.migrations.versions.r0015_open_payments import GUARD_OF_SETTLED

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

COLUMNS = {
    "reference": "text",
    "metadata": "jsonb",
    "source": "text NOT NULL DEFAULT 'default'",
}
CHECKS = {
    "reference_has_1_to_35_chars": "length(reference) BETWEEN 1 AND 35",
    "metadata_is_a_small_object": "jsonb_typeof(metadata) = 'object' AND metadata <> '{}'"
    " AND octet_length(metadata::text) <= 4096",
    "source_is_a_name": "source ~ '^[a-z0-9][a-z0-9-]{0,31}$'",
}
# An index → its table and columns. Account names are compared byte by byte, whatever the
# database's collation, so that one range holds the names with a prefix.
INDEXES = {
    "payments_by_reference": ("payments", "(reference, id) WHERE reference IS NOT NULL"),
    "accounts_by_name": ("accounts", '(account_id COLLATE "C", currency COLLATE "C")'),
}

REFUSE_TO_BLOCK = """
DO $$
BEGIN
    IF to_regclass('{name}') IS NULL AND pg_relation_size('{table}') > {limit} THEN
        RAISE EXCEPTION 'building an index now would stop payments: run this first, then migrate:'
            ' {prepare}CREATE INDEX CONCURRENTLY {name} ON {table} {columns}'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$"""
PREPARE = {
    "payments_by_reference": "ALTER TABLE payments ADD COLUMN IF NOT EXISTS reference text; "
}


def _guarding(columns: str) -> str:
    """Return the guard with more columns that never change."""
    guard = GUARD_OF_SETTLED
    for version in ("OLD", "NEW"):
        more = ", ".join(f"{version}.{column}" for column in columns.split())
        guard = guard.replace(f"{version}.created_at)", f"{version}.created_at, {more})")
    return guard


def upgrade() -> None:
    """Add the columns, which rewrites no row, with their checks and indexes."""
    for name, (table, columns) in INDEXES.items():
        values = {"name": name, "table": table, "columns": columns}
        prepare = PREPARE.get(name, "")
        op.execute(REFUSE_TO_BLOCK.format(**values, prepare=prepare, limit=QUICK_BYTES_MAX))
    for column, kind in COLUMNS.items():
        op.execute(f"ALTER TABLE payments ADD COLUMN IF NOT EXISTS {column} {kind}")
    for name, check in CHECKS.items():
        op.execute(f"ALTER TABLE payments ADD CONSTRAINT {name} CHECK ({check}) NOT VALID")
    for name, (table, columns) in INDEXES.items():
        op.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {table} {columns}")
    op.execute(_guarding("reference metadata source"))
    op.execute(f"GRANT INSERT ({', '.join(COLUMNS)}) ON payments TO payments_api")


def downgrade() -> None:
    """Drop the columns. Fingerprints of payments that used them stay as they are."""
    op.execute(GUARD_OF_SETTLED)
    op.execute("DROP INDEX accounts_by_name")
    for column in COLUMNS:
        op.execute(f"ALTER TABLE payments DROP COLUMN {column}")
