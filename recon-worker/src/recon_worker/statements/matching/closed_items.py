"""Breaks of items that a person matched or set aside while a run opened the break.

Neither transaction sees the other: the act finds no break to resolve, and the run an open item.
Once the breaks of a run are stored, each later act finds them; so the run waits for the acts that
had begun before, and resolves what they closed.
"""

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import AnyRow, single_statement
from payments_core.db.writers import have_ended, open_writers
from payments_core.matching.entries import OPEN_LINE
from recon_worker.statements.matching.cut import WAIT_SECONDS_MAX

# Every act writes here before it ends, even if it finds no break.
WRITTEN = ("recon_breaks",)
RESOLVE = f"""
UPDATE recon_breaks SET resolved_at = clock_timestamp(), resolved_by = 'run ' || $2::bigint
WHERE source_id = $1 AND resolved_at IS NULL AND CASE side
    WHEN 'line' THEN NOT EXISTS (
        SELECT FROM statement_lines WHERE statement_lines.id = item_id AND {OPEN_LINE})
    ELSE NOT EXISTS (SELECT FROM open_entries WHERE entry_id = item_id) END"""


async def wait_for_acts(engine: AsyncEngine) -> None:
    """Wait until the acts that may have missed a break have ended.

    If one does not end in time, the next run resolves its break: every act changes the state of the
    source.
    """
    async with single_statement(engine) as connection:
        acting = await open_writers(connection, WRITTEN)
        await have_ended(connection, WRITTEN, acting, WAIT_SECONDS_MAX)


async def resolve_breaks_of_closed(tx: AsyncConnection, run: AnyRow) -> None:
    """Resolve the source's breaks whose items are not open."""
    await tx.exec_driver_sql(RESOLVE, (run.source_id, run.id))
