"""Claims of files: an attempt is counted before it begins, so that no file is tried endlessly.

A file may end its process each time, such as by its need of memory, and then records nothing.
"""

from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import AnyRow, single_statement, transaction
from payments_core.db.tables import statement_files

ATTEMPTS_MAX = 5
# After an attempt that did not end; four times as long after each further one. Meanwhile other
# files are imported, and a short outage does not use up the attempts.
WAIT_SECONDS = 5
WAIT_SECONDS_MAX = 300

_files = statement_files.c
_COUNT = text(f"""
UPDATE statement_files SET attempts = attempts + 1,
    retry_at = now() + make_interval(
        secs => least({WAIT_SECONDS_MAX}, {WAIT_SECONDS} * 4 ^ least(attempts, 9)))
WHERE id = :id AND status IN ('received', 'quarantined') RETURNING *""")


def _due() -> ColumnElement[bool]:
    return (_files.status == "received") & (_files.retry_at <= func.now()).is_not(False)


async def is_any_due(engine: AsyncEngine) -> bool:
    """Return whether a file waits for its import."""
    async with single_statement(engine) as connection:
        return bool((await connection.execute(select(exists().where(_due())))).scalar_one())


async def begin_next(engine: AsyncEngine) -> AnyRow | None:
    """Count an attempt at the oldest due file that no process imports; return the file, if any."""
    oldest = select(_files.id).where(_due()).order_by(_files.id).limit(1)
    async with transaction(engine) as tx:
        file_id = (await tx.execute(oldest.with_for_update(skip_locked=True))).scalar()
        return None if file_id is None else await count_attempt(tx, file_id)


async def count_attempt(tx: AsyncConnection, file_id: UUID) -> AnyRow | None:
    """Count an attempt at the file unless it is decided; return it. Commit before the attempt."""
    return (await tx.execute(_COUNT, {"id": file_id})).one_or_none()


async def hold(tx: AsyncConnection, begun: AnyRow) -> AnyRow | None:
    """Lock the file for the attempt that was counted; None if another process has it."""
    query = select(statement_files).where(
        _files.id == begun.id, _files.status == "received", _files.attempts == begun.attempts
    )
    return (await tx.execute(query.with_for_update(skip_locked=True))).one_or_none()
