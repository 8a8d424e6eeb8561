"""A leg's line and match are looked up by their ids, whatever statistics say.

While a table seems empty to the planner, each of its indexes costs the same. The check of new legs
then read all lines of the source, or all matches, for every leg.

Revision ID: 0028
Revises: 0027
"""

from alembic import op

from payments_api.migrations.versions.r0021_matching import REFUSE_STRAY_MATCH

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

# What a row must be stands in CASE, not in WHERE: so no index but that of the id fits.
_BY_ID = """
        WHEN 'line' THEN (
            SELECT CASE WHEN line.status IN ('matched', 'returned') AND line.source_id = (
                SELECT CASE WHEN undone_at IS NULL THEN source_id END FROM public.recon_matches
                WHERE id = leg.match_id) THEN line.amount END
            FROM public.statement_lines AS line WHERE line.id = leg.item_id)
        ELSE (
            SELECT CASE WHEN entry.entry_type = 'clearing'
                THEN CASE entry.direction WHEN 'debit' THEN entry.amount ELSE -entry.amount END END
            FROM public.ledger_entries AS entry WHERE entry.id = leg.item_id)"""
_begin = REFUSE_STRAY_MATCH.index("\n        WHEN 'line' THEN (")
_end = REFUSE_STRAY_MATCH.index("\n        END\n    LIMIT 1;", _begin)


def upgrade() -> None:
    """Replace the function."""
    _replace(REFUSE_STRAY_MATCH[:_begin] + _BY_ID + REFUSE_STRAY_MATCH[_end:])


def downgrade() -> None:
    """Put the earlier one back."""
    _replace(REFUSE_STRAY_MATCH)


def _replace(function: str) -> None:
    op.execute(function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
