"""The auditor: proves the invariants again and again, cheaply, and in full when asked."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.domain.payments import first_id_at
from recon_worker.audit.exclusion import alone
from recon_worker.audit.invariants import INVARIANTS, OFFENDERS_SHOWN_MAX, Invariant, Window

Mode = Literal["incremental", "full"]

CHUNK_ROWS = 20_000  # Looked at by one statement, so that none runs long.
HORIZON_WAIT_SECONDS = 20.0  # Our own transactions end sooner: database.py bounds them.
# A payment's id is made before its row. One that takes longer, or whose id was made by a clock
# that is slow, comes in below the bookmark: `_late_payments`.
PAYMENT_SETTLES_IN_SECONDS = 60
TRANSACTION_SECONDS_MAX = 60  # From a transaction's begin to a job's row: database.py bounds it.

_NIL = UUID(int=0)


@dataclass(slots=True)
class Finding:
    """What one invariant's queries returned; `offenders` holds the first few rows."""

    invariant: Invariant
    offending: int = 0
    offenders: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Count offending rows."""
        self.offending += len(rows)
        self.offenders.extend(rows[: OFFENDERS_SHOWN_MAX - len(self.offenders)])


async def audit(engine: AsyncEngine, mode: Mode) -> list[Finding] | None:
    """Check every invariant; return None if another audit is running.

    Incremental: what was posted, settled or created since the last audit. Full: everything,
    from the first row on. The findings are stored for the page and the metrics.
    """
    async with alone(engine) as locked:
        if not locked:
            return None
        async with engine.connect() as plain:
            connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
            try:
                # Its windows have very different sizes: here one plan for all would be the trap.
                await connection.exec_driver_sql("SET plan_cache_mode = force_custom_plan")
                findings = await audit_on(connection, mode)
                await connection.exec_driver_sql("RESET plan_cache_mode")
            except BaseException:
                # Closed, not returned: its plan mode must not stay with a connection of the pool.
                await plain.invalidate()
                raise
            return findings


@dataclass(frozen=True, slots=True)
class _Ends:
    """Up to which id each table is final; `at` is when, None where nobody knows."""

    ids: Mapping[Window, Any]
    at: datetime | None


async def audit_on(connection: AsyncConnection, mode: Mode) -> list[Finding]:
    """Check every invariant on this connection; the caller keeps other auditors away."""
    progress = (await connection.execute(text("SELECT * FROM audit_progress"))).mappings().one()
    ends = await (_safe_ends(connection) if mode == "incremental" else _all(connection))
    findings = {invariant.name: Finding(invariant) for invariant in INVARIANTS}
    if mode == "incremental":
        # Before any bookmark moves, so that what is interrupted is done again.
        await _audit_late_payments(connection, progress, ends, findings)
    for window in (Window.ENTRIES, Window.RESULTS, Window.PAYMENTS):
        column = f"{window.removeprefix('ledger_').removeprefix('reconciliation_')}_verified_to"
        start = progress[column] if mode == "incremental" else _NIL if window == "payments" else 0
        here = [i for i in INVARIANTS if i.window is window]
        async for lo, hi in _chunks(connection, window, start, ends.ids[window]):
            for invariant in here:
                findings[invariant.name].add(await _rows(connection, invariant.query, lo=lo, hi=hi))
            if mode == "incremental":
                # What is verified stays verified, even if this audit is interrupted; so what
                # was found must be on record before the bookmark leaves it behind.
                await _store(connection, mode, [f for f in findings.values() if f.offending])
                await connection.execute(
                    text(f"UPDATE audit_progress SET {column} = :hi"), {"hi": hi}
                )
    for invariant in INVARIANTS:
        if invariant.window is Window.NONE:
            findings[invariant.name].add(await _rows(connection, invariant.query))
        if mode == "full" and invariant.full_query:
            findings[invariant.name].add(await _rows(connection, invariant.full_query))
    await _store(connection, mode, findings.values())
    if ends.at is not None:
        await connection.execute(
            text("UPDATE audit_progress SET updated_at = :at"), {"at": ends.at}
        )
    return list(findings.values())


async def _audit_late_payments(
    connection: AsyncConnection,
    progress: RowMapping,
    ends: _Ends,
    findings: Mapping[str, Finding],
) -> None:
    """Look at the payments that came in, or were settled, behind the bookmark.

    A payment's id is made by the clock of the API that took it, which may be slow by an hour; the
    ids of jobs and results are made by the database, one after the other. So this looks along
    those that are new. A payment without a job that came late is left to the full audit.
    """
    seen = "SELECT id FROM recon_jobs WHERE created_at <= :since ORDER BY id DESC LIMIT 1"
    since = progress["updated_at"] - timedelta(seconds=TRANSACTION_SECONDS_MAX)
    seen_job = (await connection.execute(text(seen), {"since": since})).scalar() or 0
    starts = {Window.JOBS: seen_job, Window.RESULTS: progress["results_verified_to"]}
    looked_at: set[UUID] = set()
    for window, start in starts.items():
        late = text(
            f"SELECT payment_id FROM {window}"
            " WHERE id > :lo AND id <= :hi AND payment_id <= :verified_to"
        )
        async for lo, hi in _chunks(connection, window, start, ends.ids[window]):
            bounds = {"lo": lo, "hi": hi, "verified_to": progress["payments_verified_to"]}
            found = (await connection.execute(late, bounds)).scalars()
            ids = [payment_id for payment_id in found if payment_id not in looked_at]
            if window is Window.JOBS:
                looked_at.update(ids)
            for invariant in INVARIANTS if ids else ():
                if invariant.window is Window.PAYMENTS:
                    query = invariant.query_of_ids
                    findings[invariant.name].add(await _rows(connection, query, ids=ids))


async def _rows(connection: AsyncConnection, query: str, **among: Any) -> Any:
    return (await connection.execute(text(query), among)).mappings().all()


async def _all(connection: AsyncConnection) -> _Ends:
    """The ends of a full audit, which leaves no bookmark and so need not wait for anybody."""
    query = """
        SELECT coalesce((SELECT max(id) FROM ledger_entries), 0) AS ledger_entries,
               coalesce((SELECT max(id) FROM reconciliation_results), 0)
                   AS reconciliation_results"""
    last = (await connection.execute(text(query))).one()
    ends = {
        Window.ENTRIES: last.ledger_entries,
        Window.RESULTS: last.reconciliation_results,
        Window.PAYMENTS: UUID(int=2**128 - 1),
    }
    return _Ends(ends, None)


async def _safe_ends(connection: AsyncConnection) -> _Ends:
    """Up to which id each table is final: nobody can still commit a smaller one.

    Ids are handed out before the commit, so below the largest that is visible there may be
    gaps yet to be filled, by transactions that began before now. Wait for those to end; if
    one does not, verify nothing new this time.

    An id of our own tells those apart: the snapshot's xmax would be the one after the last
    *finished* transaction, and so miss the youngest ones that are under way.
    """
    query = """
        SELECT (SELECT max(id) FROM ledger_entries) AS ledger_entries,
               (SELECT max(id) FROM reconciliation_results) AS reconciliation_results,
               (SELECT max(id) FROM recon_jobs) AS recon_jobs,
               pg_current_xact_id()::text::bigint AS our_xid,
               now() AS now"""
    seen = (await connection.execute(text(query))).one()
    ends = {
        Window.ENTRIES: seen.ledger_entries or 0,
        Window.RESULTS: seen.reconciliation_results or 0,
        Window.JOBS: seen.recon_jobs or 0,
        Window.PAYMENTS: first_id_at(seen.now, -timedelta(seconds=PAYMENT_SETTLES_IN_SECONDS)),
    }
    oldest = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    for _ in range(int(HORIZON_WAIT_SECONDS / 0.1)):
        if (await connection.execute(oldest)).scalar_one() > seen.our_xid:
            return _Ends(ends, seen.now)
        await asyncio.sleep(0.1)
    return _Ends({**ends, Window.ENTRIES: 0, Window.RESULTS: 0, Window.JOBS: 0}, None)


async def _chunks(connection: AsyncConnection, window: Window, start: Any, end: Any) -> Any:
    """(lo, hi] pairs that cover the window's ids from `start` to `end`."""
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


STORE = """
INSERT INTO audit_findings AS last (invariant, offending, mode)
SELECT invariant, offending, $4
FROM unnest($1::text[], $2::bigint[]) AS found (invariant, offending)
ON CONFLICT (invariant) DO UPDATE SET mode = excluded.mode, checked_at = now(),
    offending = CASE WHEN excluded.mode = 'full' OR excluded.invariant = ANY ($3::text[])
                THEN excluded.offending ELSE greatest(last.offending, excluded.offending) END"""


async def _store(connection: AsyncConnection, mode: Mode, findings: Collection[Finding]) -> None:
    """Keep each invariant's last finding; a broken one stays until a full audit clears it."""
    if not findings:
        return
    names = [finding.invariant.name for finding in findings]
    offending = [finding.offending for finding in findings]
    looked_at_whole = [i.name for i in INVARIANTS if i.window is Window.NONE]
    await connection.exec_driver_sql(STORE, (names, offending, looked_at_whole, mode))


async def last_findings(connection: AsyncConnection) -> tuple[dict[str, int], float | None]:
    """The offending rows by invariant, as last stored, and how many seconds ago that was."""
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


def as_table(findings: Sequence[Finding]) -> str:
    """The findings for people: one line an invariant, and below a broken one its rows."""
    lines = []
    for finding in findings:
        mark = "ok    " if not finding.offending else "BROKEN"
        lines.append(f"{mark}  {finding.invariant.name:<32} {finding.invariant.title}")
        lines.extend(
            " " * 10 + "  ".join(f"{key}={value}" for key, value in row.items())
            for row in finding.offenders
        )
        more = finding.offending - len(finding.offenders)
        if more > 0:
            lines.append(f"          ... and {more} more")
    return "\n".join(lines)
