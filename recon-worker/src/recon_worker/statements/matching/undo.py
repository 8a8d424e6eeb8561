"""Undo a run whole, in chunks: its matches that are active become undone.

The first transaction records who and why; an interrupted undo is finished by the same command.
The cut and the breaks that the run opened stay: they describe open lines and entries.
"""

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.audit_log import Operator, record_action
from payments_core.db.engine import transaction
from payments_core.matching.matches import UNDO, ItemNotFound, MatchRefused
from recon_worker.failpoints import reach
from recon_worker.statements.matching.rules import PLAN
from recon_worker.statements.matching.source_lock import lock_source

CHUNK_MATCHES = 5_000  # A batch has many legs.

FIND = "SELECT id, finished_at, undone_at FROM recon_runs WHERE id = $2 AND source_id = $1"
MARK = """
UPDATE recon_runs SET undone_at = clock_timestamp(), undone_by = $2, undone_reason = $3
WHERE id = $1"""
ACTIVE = "SELECT count(*) FROM recon_matches WHERE run_id = $1 AND undone_at IS NULL"
NEXT = f"""
SELECT coalesce(array_agg(id), '{{}}') FROM (
    SELECT id FROM recon_matches WHERE run_id = $1 AND undone_at IS NULL
    ORDER BY id DESC LIMIT {CHUNK_MATCHES} FOR UPDATE) AS chunk"""


async def count_active(tx: AsyncConnection, source_id: int, run_id: int) -> int:
    """Return the number of the run's matches that are not undone. Raises ItemNotFound."""
    if (await tx.exec_driver_sql(FIND, (source_id, run_id))).one_or_none() is None:
        raise ItemNotFound(f"no run {run_id} of this source")
    number: int = (await tx.exec_driver_sql(ACTIVE, (run_id,))).scalar_one()
    return number


async def undo_run(
    engine: AsyncEngine, source_id: int, run_id: int, operator: Operator, reason: str
) -> int:
    """Undo every active match of the run; return their number.

    Raises ItemNotFound, MatchRefused.
    """
    async with transaction(engine) as tx:
        await lock_source(tx, source_id)
        run = (await tx.exec_driver_sql(FIND, (source_id, run_id))).one_or_none()
        if run is None:
            raise ItemNotFound(f"no run {run_id} of this source")
        if run.finished_at is None:
            raise MatchRefused(f"run {run_id} has not finished: run the matching again first")
        if run.undone_at is None:
            await tx.exec_driver_sql(MARK, (run_id, operator.name, reason))
            await record_action(tx, "undo_run", operator, reason, subject=f"run {run_id}")
    undone = 0
    while True:
        async with transaction(engine) as tx:
            await lock_source(tx, source_id)
            ids = (await tx.exec_driver_sql(NEXT, (run_id,))).scalar_one()
            if not ids:
                return undone
            await tx.exec_driver_sql(PLAN)
            values = (ids, operator.name, None, source_id)
            undone += (await tx.exec_driver_sql(UNDO, values)).scalar_one()
        reach("after_undo_chunk")
