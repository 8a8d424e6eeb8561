"""A line's undone matches are looked up by an index that serves nothing else, as all look-ups are.

The primary key of the legs served too. Planned while there were few legs, every line of a run then
read the whole key, and a plan outlives the size of its tables. The earlier index stays: the running
release reads it.

Revision ID: 0030
Revises: 0029
"""

from alembic import op

from payments_api.migrations.versions.r0006_tenants import QUICK_BYTES_MAX
from payments_api.migrations.versions.r0016_references import REFUSE_TO_BLOCK

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_UNDONE_LINE = "CASE WHEN side = 'line' AND NOT active THEN item_id END"
NAME, TABLE = "match_legs_by_undone_line", "match_legs"
COLUMNS = f"(({_UNDONE_LINE})) WHERE {_UNDONE_LINE} IS NOT NULL"


def refuse_to_block(bytes_max: int) -> str:
    """Return SQL that fails, and names the statement to run, if a larger table lacks the index."""
    columns = COLUMNS.replace("'", "''")
    values = {"name": NAME, "table": TABLE, "columns": columns, "prepare": ""}
    return REFUSE_TO_BLOCK.format(**values, limit=bytes_max)


def upgrade() -> None:
    """Add the index."""
    op.execute(refuse_to_block(QUICK_BYTES_MAX))
    op.execute(f"CREATE INDEX IF NOT EXISTS {NAME} ON {TABLE} {COLUMNS}")


def downgrade() -> None:
    """Drop it."""
    op.execute(f"DROP INDEX {NAME}")
