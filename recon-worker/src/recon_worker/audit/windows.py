"""The windows of an audit: up to which id of each table it reads, and in which chunks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.writers import have_ended, open_writers
from payments_core.domain.ids import first_id_at
from recon_worker.audit.invariant import Window

CHUNK_ROWS = 20_000  # For each statement, so that none runs long.
HORIZON_WAIT_SECONDS = 20.0  # Our own transactions end sooner: db/engine.py bounds them.
# A payment's id is made before its row. A payment that takes longer, or whose id comes from a slow
# clock, appears below the bookmark: see the auditor.
PAYMENT_SETTLES_IN_SECONDS = 60
NUMBERED = (Window.ENTRIES, Window.RESULTS, Window.JOBS, Window.MATCHES)  # Ids of a sequence.


@dataclass(frozen=True, slots=True)
class Ends:
    """The last id of each table that is final, as of `at`; `at` is None if that is unknown."""

    ids: Mapping[Window, Any]
    at: datetime | None


async def full_ends(connection: AsyncConnection) -> Ends:
    """Return the ends of a full audit. It moves no bookmark, so it need not wait for writers."""
    query = """
        SELECT coalesce((SELECT max(id) FROM ledger_entries), 0) AS ledger_entries,
               coalesce((SELECT max(id) FROM reconciliation_results), 0)
                   AS reconciliation_results,
               coalesce((SELECT max(id) FROM recon_matches), 0) AS recon_matches"""
    last = (await connection.execute(text(query))).one()
    ends = {
        Window.ENTRIES: last.ledger_entries,
        Window.RESULTS: last.reconciliation_results,
        Window.MATCHES: last.recon_matches,
        Window.PAYMENTS: UUID(int=2**128 - 1),
    }
    return Ends(ends, None)


async def safe_ends(connection: AsyncConnection) -> Ends:
    """Return the last id of each table below which no transaction can still commit a row.

    Waits for the writers of these tables to end: see payments_core.db.writers. If one does not,
    audit no new entries, results, jobs or matches this time.
    """
    query = """
        SELECT (SELECT max(id) FROM ledger_entries) AS ledger_entries,
               (SELECT max(id) FROM reconciliation_results) AS reconciliation_results,
               (SELECT max(id) FROM recon_jobs) AS recon_jobs,
               (SELECT max(id) FROM recon_matches) AS recon_matches,
               now() AS now"""
    last = (await connection.execute(text(query))).one()
    ends = {
        Window.ENTRIES: last.ledger_entries or 0,
        Window.RESULTS: last.reconciliation_results or 0,
        Window.JOBS: last.recon_jobs or 0,
        Window.MATCHES: last.recon_matches or 0,
        Window.PAYMENTS: first_id_at(last.now, -timedelta(seconds=PAYMENT_SETTLES_IN_SECONDS)),
    }
    writers = await open_writers(connection, NUMBERED)
    if await have_ended(connection, NUMBERED, writers, HORIZON_WAIT_SECONDS):
        return Ends(ends, last.now)
    return Ends({**ends, **dict.fromkeys(NUMBERED, 0)}, None)


async def chunks(connection: AsyncConnection, window: Window, start: Any, end: Any) -> Any:
    """Yield (lo, hi] pairs that cover the window's ids from `start` to `end`."""
    lo = start
    step = text(
        f"SELECT id FROM {window} WHERE id > :lo AND id <= :end"
        f" ORDER BY id OFFSET {CHUNK_ROWS - 1} LIMIT 1"
    )
    while lo < end:
        hi = (await connection.execute(step, {"lo": lo, "end": end})).scalar()
        if hi is None:
            yield lo, end
            return
        yield lo, hi
        lo = hi
