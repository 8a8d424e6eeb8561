"""Import of one received file: claim it, read it, store its statements, or quarantine it.

One transaction holds it all, under the lock of the file's row: a worker that is killed leaves the
file as it was received, with one attempt more.
"""

import logging
from collections.abc import Callable
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import AnyRow, is_unavailable, transaction
from payments_core.db.tables import statement_files, statement_staging
from payments_core.statements.files import FileDamaged
from recon_worker.failpoints import reach
from recon_worker.statements.formats.model import MalformedStatement
from recon_worker.statements.importing.checks import FileReader, Quarantined, malformed
from recon_worker.statements.importing.claim import ATTEMPTS_MAX, begin_next, count_attempt, hold
from recon_worker.statements.importing.stage import stage
from recon_worker.statements.importing.store import check_balances, store_statement

# A statement of a million lines is stored by one SQL statement: the engine of imports allows it.
STATEMENT_SECONDS_MAX = 600.0
UNFINISHED = Quarantined(
    "unfinished",
    f"{ATTEMPTS_MAX} imports began and none ended: a process was killed, such as for its memory, or"
    " the database failed; the worker's log says when",
    "import",
)
LOCK_OF_SOURCE = 0x5354  # Of pg_advisory_xact_lock(class, source): one import at a time.

log = logging.getLogger(__name__)

Advance = Callable[[int], None]


def _ignore(_bytes: int) -> None:
    """Show no progress."""


async def import_next(engine: AsyncEngine) -> AnyRow | None:
    """Import the oldest due file that no other process imports; return it, if any."""
    while (begun := await begin_next(engine)) is not None:
        async with transaction(engine) as tx:
            file = await hold(tx, begun)
            if file is None:
                continue
            if file.attempts > ATTEMPTS_MAX:
                return await _quarantine(tx, file, UNFINISHED)
            return await _import(tx, file, _ignore)
    return None


async def import_file(engine: AsyncEngine, file_id: UUID, advance: Advance = _ignore) -> AnyRow:
    """Import this file, or wait for the process that does; return it as decided.

    A quarantined file is read again: its source, or a statement before it, may be there now.
    """
    claim = select(statement_files).where(statement_files.c.id == file_id).with_for_update()
    patience = text(f"SET LOCAL lock_timeout = '{STATEMENT_SECONDS_MAX:.0f}s'")
    async with transaction(engine) as tx:
        await tx.execute(patience)
        await count_attempt(tx, file_id)
    async with transaction(engine) as tx:
        await tx.execute(patience)
        file = (await tx.execute(claim)).one()
        waits = file.status in ("received", "quarantined")
        return await _import(tx, file, advance) if waits else file


async def _import(tx: AsyncConnection, file: AnyRow, advance: Advance) -> AnyRow:
    await tx.execute(text(f"SET LOCAL lock_timeout = '{STATEMENT_SECONDS_MAX:.0f}s'"))
    await tx.execute(
        text("SELECT pg_advisory_xact_lock(:of_sources, CAST(:id AS integer))"),
        {"of_sources": LOCK_OF_SOURCE, "id": file.source_id},
    )
    # Without statistics of what it has just stored, Postgres would read whole tables for each line.
    await tx.execute(text("SET LOCAL enable_seqscan = off"))
    try:
        async with tx.begin_nested():
            read = await _load(tx, file, advance)
    except Exception as error:
        if is_unavailable(error):
            raise
        return await _quarantine(tx, file, _problem_of(error))
    decided = await _decide(
        tx,
        file,
        status="accepted",
        problem_code=None,
        problem=None,
        problem_at=None,
        format=read.statements[-1].header.message,
        encoding=read.statements[-1].end.encoding,
    )
    await _retry_gaps(tx, file)
    reach("before_import_commit")
    return decided


async def _load(tx: AsyncConnection, file: AnyRow, advance: Advance) -> FileReader:
    reader = await stage(tx, file, advance)
    reach("after_staging")
    stored = [await store_statement(tx, file, statement) for statement in reader.statements]
    final = [each for each in stored if each.kind == "statement"]
    if final and file.accepted_by is None:
        await check_balances(tx, file.source_id, final)
    await tx.execute(delete(statement_staging).where(statement_staging.c.file_id == file.id))
    return reader


def _problem_of(error: Exception) -> Quarantined:
    if isinstance(error, Quarantined):
        return error
    if isinstance(error, MalformedStatement):
        return malformed(error)
    if isinstance(error, FileDamaged):
        return Quarantined("malformed", str(error), "stored bytes")
    log.error("statement_import_failed", exc_info=error)
    problem = f"the import failed with {type(error).__name__}; the worker's log says where"
    return Quarantined("malformed", problem, "unknown")


async def _quarantine(tx: AsyncConnection, file: AnyRow, problem: Quarantined) -> AnyRow:
    return await _decide(
        tx,
        file,
        status="quarantined",
        problem_code=problem.code,
        problem=problem.problem[:1000],
        problem_at=problem.at[:200],
    )


async def _decide(tx: AsyncConnection, file: AnyRow, **values: str | None) -> AnyRow:
    decided = (
        update(statement_files)
        .where(statement_files.c.id == file.id)
        .values(decided_at=func.now(), attempts=0, retry_at=None, **values)
        .returning(statement_files)
    )
    row: AnyRow = (await tx.execute(decided)).one()
    return row


async def _retry_gaps(tx: AsyncConnection, file: AnyRow) -> None:
    """Receive again the source's files that may follow from its lines with those of this one.

    A file that is locked is being imported again, and waits for this import to end.
    """
    files = statement_files.c
    waiting = (
        select(files.id)
        .where(
            files.source_id == file.source_id,
            files.status == "quarantined",
            files.problem_code.in_(("chain", "overlap")),
        )
        .with_for_update(skip_locked=True)
    )
    await tx.execute(
        update(statement_files)
        .where(files.id.in_(waiting))
        .values(
            status="received", problem_code=None, problem=None, problem_at=None, decided_at=None
        )
    )
