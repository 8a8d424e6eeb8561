"""The auditor: checks the invariants, incrementally at short intervals or in full on demand."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import single_statement
from recon_worker.audit.exclusion import alone
from recon_worker.audit.findings import Finding, Mode, store_findings
from recon_worker.audit.invariant import Window
from recon_worker.audit.invariants import INVARIANTS
from recon_worker.audit.windows import CHUNK_ROWS, Ends, chunks, full_ends, safe_ends

# Called with a table and the number of its rows that were read, None for all.
Advance = Callable[[Window, int | None], None]

BOOKMARKED = (Window.ENTRIES, Window.RESULTS, Window.MATCHES, Window.PAYMENTS)
TRANSACTION_SECONDS_MAX = 60  # From its begin to its job's row; db/engine.py bounds it.

_NIL = UUID(int=0)


async def rows_by_window(engine: AsyncEngine) -> tuple[dict[Window, int], int]:
    """Return each table's rows and the rows that a full audit reads, both as estimated."""
    names = [window for window in Window if window is not Window.NONE]
    query = text(
        "SELECT relname, greatest(reltuples, 0)::bigint AS rows FROM pg_class"
        " WHERE oid = ANY (CAST(CAST(:names AS text[]) AS regclass[]))"
    )
    async with single_statement(engine) as connection:
        found = (await connection.execute(query, {"names": names})).all()
    sizes = {Window(row.relname): row.rows for row in found}
    whole = (invariant.window for invariant in INVARIANTS if invariant.full_query)
    return sizes, sum(sizes[window] for window in (*BOOKMARKED, *whole))


async def audit(
    engine: AsyncEngine, mode: Mode, advance: Advance = lambda window, rows: None
) -> list[Finding] | None:
    """Check every invariant; return None if another audit is running.

    An incremental audit covers the rows posted, settled or created since the last audit; a full
    audit covers all rows. The findings are stored for the page and the metrics.
    """
    async with alone(engine) as locked:
        if not locked:
            return None
        async with engine.connect() as plain:
            connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
            try:
                # The windows differ greatly in size, so a generic plan would be slow for some.
                await connection.exec_driver_sql("SET plan_cache_mode = force_custom_plan")
                findings = await audit_on(connection, mode, advance)
                await connection.exec_driver_sql("RESET plan_cache_mode")
            except BaseException:
                # Close it: a connection with this plan mode must not return to the pool.
                await plain.invalidate()
                raise
            return findings


async def audit_on(
    connection: AsyncConnection, mode: Mode, advance: Advance = lambda window, rows: None
) -> list[Finding]:
    """Check every invariant on this connection; the caller excludes other audits."""
    progress = (await connection.execute(text("SELECT * FROM audit_progress"))).mappings().one()
    ends = await (safe_ends(connection) if mode == "incremental" else full_ends(connection))
    findings = {invariant.name: Finding(invariant) for invariant in INVARIANTS}
    if mode == "incremental":
        # Before any bookmark moves, so that an interrupted audit checks them again.
        await _audit_late_payments(connection, progress, ends, findings)
    for window in BOOKMARKED:
        await _audit_window(connection, mode, window, progress, ends, findings, advance)
    for invariant in INVARIANTS:
        if invariant.window not in BOOKMARKED:
            findings[invariant.name].add(await _rows(connection, invariant.query))
        if mode == "full" and invariant.full_query:
            findings[invariant.name].add(await _rows(connection, invariant.full_query))
            advance(invariant.window, None)
    await store_findings(connection, mode, findings.values())
    if ends.at is not None:
        await connection.execute(
            text("UPDATE audit_progress SET updated_at = :at"), {"at": ends.at}
        )
    return list(findings.values())


async def _audit_window(
    connection: AsyncConnection,
    mode: Mode,
    window: Window,
    progress: RowMapping,
    ends: Ends,
    findings: Mapping[str, Finding],
    advance: Advance,
) -> None:
    """Check the invariants of one window, chunk by chunk."""
    column = f"{re.sub('^(ledger|reconciliation|recon)_', '', window)}_verified_to"
    start = progress[column] if mode == "incremental" else _NIL if window == "payments" else 0
    of_window = [invariant for invariant in INVARIANTS if invariant.window is window]
    async for lo, hi in chunks(connection, window, start, ends.ids[window]):
        for invariant in of_window:
            findings[invariant.name].add(await _rows(connection, invariant.query, lo=lo, hi=hi))
        advance(window, CHUNK_ROWS)
        if mode == "incremental":
            # The bookmark survives an interrupted audit, so findings are stored before it moves.
            await store_findings(connection, mode, [f for f in findings.values() if f.offending])
            await connection.execute(text(f"UPDATE audit_progress SET {column} = :hi"), {"hi": hi})


async def _audit_late_payments(
    connection: AsyncConnection,
    progress: RowMapping,
    ends: Ends,
    findings: Mapping[str, Finding],
) -> None:
    """Check the payments that were created or settled behind the bookmark.

    The API makes a payment's id by its own clock, which may be slow by an hour; the database hands
    out the ids of jobs and results in sequence. The new jobs and results therefore lead to these
    payments. Only the full audit checks a late payment that has no job.
    """
    last_job = "SELECT id FROM recon_jobs WHERE created_at <= :since ORDER BY id DESC LIMIT 1"
    since = progress["updated_at"] - timedelta(seconds=TRANSACTION_SECONDS_MAX)
    last_job_id = (await connection.execute(text(last_job), {"since": since})).scalar() or 0
    starts = {Window.JOBS: last_job_id, Window.RESULTS: progress["results_verified_to"]}
    checked: set[UUID] = set()
    for window, start in starts.items():
        late = text(
            f"SELECT payment_id FROM {window}"
            " WHERE id > :lo AND id <= :hi AND payment_id <= :verified_to"
        )
        async for lo, hi in chunks(connection, window, start, ends.ids[window]):
            bounds = {"lo": lo, "hi": hi, "verified_to": progress["payments_verified_to"]}
            late_ids = (await connection.execute(late, bounds)).scalars()
            ids = [payment_id for payment_id in late_ids if payment_id not in checked]
            if window is Window.JOBS:
                checked.update(ids)
            for invariant in INVARIANTS if ids else ():
                if invariant.window is Window.PAYMENTS:
                    query = invariant.query_of_ids
                    findings[invariant.name].add(await _rows(connection, query, ids=ids))


async def _rows(connection: AsyncConnection, query: str, **parameters: Any) -> Any:
    return (await connection.execute(text(query), parameters)).mappings().all()
