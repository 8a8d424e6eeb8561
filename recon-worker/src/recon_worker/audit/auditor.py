"""The auditor: checks the invariants, incrementally at short intervals or in full on demand."""

import asyncio
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import single_statement
from payments_core.domain.payments import first_id_at
from recon_worker.audit.exclusion import alone
from recon_worker.audit.invariant import OFFENDERS_SHOWN_MAX, Invariant, Window
from recon_worker.audit.invariants import INVARIANTS

Mode = Literal["incremental", "full"]
# Called with a table and the number of its rows that were read, None for all.
Advance = Callable[[Window, int | None], None]

BOOKMARKED = (Window.ENTRIES, Window.RESULTS, Window.MATCHES, Window.PAYMENTS)
CHUNK_ROWS = 20_000  # For each statement, so that none runs long.
HORIZON_WAIT_SECONDS = 20.0  # Our own transactions end sooner: db/engine.py bounds them.
# A payment's id is made before its row. A payment that takes longer, or whose id comes from a slow
# clock, appears below the bookmark: see `_audit_late_payments`.
PAYMENT_SETTLES_IN_SECONDS = 60
TRANSACTION_SECONDS_MAX = 60  # From its begin to its job's row; db/engine.py bounds it.

_NIL = UUID(int=0)

# A column of an offending row, and its name in the API.
REFERENCES = {
    "payment_id": "paymentId",
    "account_id": "accountId",
    "currency": "currency",
    "job_id": "jobId",
}


@dataclass(slots=True)
class Finding:
    """The result of one invariant's queries; `offenders` holds the first few rows."""

    invariant: Invariant
    offending: int = 0
    offenders: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Count offending rows."""
        self.offending += len(rows)
        self.offenders.extend(rows[: OFFENDERS_SHOWN_MAX - len(self.offenders)])

    @property
    def references(self) -> list[dict[str, Any]]:
        """Return the payments, accounts and jobs that the offenders name, for links."""
        id_is_of = {Window.PAYMENTS: "payment_id", Window.NONE: "job_id"}.get(self.invariant.window)
        found = []
        for row in self.offenders:
            named = dict(row) | ({id_is_of: row["id"]} if id_is_of and "id" in row else {})
            found.append({field: named.get(column) for column, field in REFERENCES.items()})
        return [each for each in found if any(each.values())]


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


@dataclass(frozen=True, slots=True)
class _Ends:
    """The last id of each table that is final, as of `at`; `at` is None if that is unknown."""

    ids: Mapping[Window, Any]
    at: datetime | None


async def audit_on(
    connection: AsyncConnection, mode: Mode, advance: Advance = lambda window, rows: None
) -> list[Finding]:
    """Check every invariant on this connection; the caller excludes other audits."""
    progress = (await connection.execute(text("SELECT * FROM audit_progress"))).mappings().one()
    ends = await (_safe_ends(connection) if mode == "incremental" else _all(connection))
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
    await _store(connection, mode, findings.values())
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
    ends: _Ends,
    findings: Mapping[str, Finding],
    advance: Advance,
) -> None:
    """Check the invariants of one window, chunk by chunk."""
    column = f"{re.sub('^(ledger|reconciliation|recon)_', '', window)}_verified_to"
    start = progress[column] if mode == "incremental" else _NIL if window == "payments" else 0
    of_window = [invariant for invariant in INVARIANTS if invariant.window is window]
    async for lo, hi in _chunks(connection, window, start, ends.ids[window]):
        for invariant in of_window:
            findings[invariant.name].add(await _rows(connection, invariant.query, lo=lo, hi=hi))
        advance(window, CHUNK_ROWS)
        if mode == "incremental":
            # The bookmark survives an interrupted audit, so findings are stored before it moves.
            await _store(connection, mode, [f for f in findings.values() if f.offending])
            await connection.execute(text(f"UPDATE audit_progress SET {column} = :hi"), {"hi": hi})


async def _audit_late_payments(
    connection: AsyncConnection,
    progress: RowMapping,
    ends: _Ends,
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
        async for lo, hi in _chunks(connection, window, start, ends.ids[window]):
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


async def _all(connection: AsyncConnection) -> _Ends:
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
    return _Ends(ends, None)


async def _safe_ends(connection: AsyncConnection) -> _Ends:
    """Return the last id of each table below which no transaction can still commit a row.

    Ids are handed out before the commit, so transactions that began before now may still fill gaps
    below the largest visible id. Wait for them to end; if one does not, audit no new entries,
    results or jobs this time.

    Our own transaction id separates older transactions from newer ones. The snapshot's xmax cannot:
    it follows the last *finished* transaction, and so misses the youngest running ones.
    """
    query = """
        SELECT (SELECT max(id) FROM ledger_entries) AS ledger_entries,
               (SELECT max(id) FROM reconciliation_results) AS reconciliation_results,
               (SELECT max(id) FROM recon_jobs) AS recon_jobs,
               (SELECT max(id) FROM recon_matches) AS recon_matches,
               pg_current_xact_id()::text::bigint AS our_xid,
               now() AS now"""
    last = (await connection.execute(text(query))).one()
    ends = {
        Window.ENTRIES: last.ledger_entries or 0,
        Window.RESULTS: last.reconciliation_results or 0,
        Window.JOBS: last.recon_jobs or 0,
        Window.MATCHES: last.recon_matches or 0,
        Window.PAYMENTS: first_id_at(last.now, -timedelta(seconds=PAYMENT_SETTLES_IN_SECONDS)),
    }
    oldest = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    for _ in range(int(HORIZON_WAIT_SECONDS / 0.1)):
        if (await connection.execute(oldest)).scalar_one() > last.our_xid:
            return _Ends(ends, last.now)
        await asyncio.sleep(0.1)
    unknown = dict.fromkeys((Window.ENTRIES, Window.RESULTS, Window.JOBS, Window.MATCHES), 0)
    return _Ends({**ends, **unknown}, None)


async def _chunks(connection: AsyncConnection, window: Window, start: Any, end: Any) -> Any:
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


_FINAL = "excluded.mode = 'full' OR excluded.invariant = ANY ($3::text[])"
STORE = f"""
INSERT INTO audit_findings AS last (invariant, offending, offenders, mode)
SELECT invariant, offending, offenders, $4
FROM unnest($1::text[], $2::bigint[], $5::jsonb[]) AS found (invariant, offending, offenders)
ON CONFLICT (invariant) DO UPDATE SET mode = excluded.mode, checked_at = now(),
    offending = CASE WHEN {_FINAL}
                THEN excluded.offending ELSE greatest(last.offending, excluded.offending) END,
    offenders = CASE WHEN {_FINAL} OR excluded.offending > 0
                THEN excluded.offenders ELSE last.offenders END"""


async def _store(connection: AsyncConnection, mode: Mode, findings: Collection[Finding]) -> None:
    """Store each invariant's last finding; a violation stays until a full audit clears it."""
    if not findings:
        return
    names = [finding.invariant.name for finding in findings]
    offending = [finding.offending for finding in findings]
    checked_whole = [i.name for i in INVARIANTS if i.window is Window.NONE]
    offenders = [json.dumps(finding.references, default=str) for finding in findings]
    await connection.exec_driver_sql(STORE, (names, offending, checked_whole, mode, offenders))


async def last_findings(connection: AsyncConnection) -> tuple[dict[str, int], float | None]:
    """Return the stored numbers of offending rows by invariant, and their age in seconds."""
    rows = (
        await connection.execute(
            text(
                "SELECT invariant, offending,"
                " extract(epoch FROM now() - max(checked_at) OVER ())::float8 AS age"
                " FROM audit_findings"
            )
        )
    ).all()
    return {row.invariant: row.offending for row in rows}, rows[0].age if rows else None
