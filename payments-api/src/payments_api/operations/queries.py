"""Queries for operators: workers, throughput, the auditor's findings, the seals."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.tables import THROUGHPUT_BUCKET_SECONDS
from payments_core.domain.invariants import INVARIANT_TITLES
from payments_core.domain.payments import time_or_none, utc_text
from payments_core.domain.statuses import WORKER_ALIVE_SECONDS
from payments_core.queue.system_metrics import UNSEALED

WORKERS_SHOWN_MAX = 500

WORKERS = text(f"""
SELECT w.id, w.host, w.version, w.started_at, w.seen_at, w.completed_total,
       w.seen_at > now() - interval '{WORKER_ALIVE_SECONDS} s' AS alive,
       coalesce(held.jobs, 0) AS held, held.oldest_lease_until
FROM workers w LEFT JOIN (
    SELECT locked_by, count(*) AS jobs, min(locked_until) AS oldest_lease_until
    FROM recon_jobs WHERE status = 'processing' GROUP BY locked_by
) AS held ON held.locked_by = w.id
ORDER BY w.seen_at DESC, w.id LIMIT {WORKERS_SHOWN_MAX}""")

# Intervals of a throughput chart. A day has 8,640 of the shortest, and 96 of the longest.
THROUGHPUT_BUCKETS_SECONDS = (THROUGHPUT_BUCKET_SECONDS, 60, 300, 900)

# Without the current bucket, which is incomplete and would always look like a drop.
THROUGHPUT = text("""
WITH span AS (
    SELECT make_interval(secs => :seconds) AS width,
           date_bin(make_interval(secs => :seconds), now(), 'epoch') AS end_at
), settled AS (
    SELECT date_bin(width, bucket_start, 'epoch') AS start, sum(completed) AS completed,
           sum(failed) AS failed, sum(discrepancy) AS discrepancy
    FROM worker_throughput, span
    WHERE bucket_start >= end_at - make_interval(mins => :minutes) - width
    GROUP BY 1
)
SELECT start, coalesce(completed, 0)::bigint AS completed, coalesce(failed, 0)::bigint AS failed,
       coalesce(discrepancy, 0)::bigint AS discrepancy
FROM span, generate_series(date_bin(width, now() - make_interval(mins => :minutes), 'epoch'),
                           end_at - width, width) AS start
LEFT JOIN settled USING (start)
ORDER BY start""")

INVARIANTS = text(
    "SELECT invariant, offending, offenders, mode, checked_at FROM audit_findings"
    " ORDER BY invariant"
)

SEAL = text(f"""
SELECT last.seq, encode(last.seal_hash, 'hex') AS head_hash, last.sealed_at,
       last.mac IS NOT NULL AS signed, unsealed.*,
       verified_seq, verified_at, pass_completed_at, problem, problem_seq, problem_at
FROM ({UNSEALED}) AS unsealed, seal_verification LEFT JOIN LATERAL (
    SELECT seq, seal_hash, sealed_at, mac FROM ledger_seals
    ORDER BY seq DESC LIMIT 1) AS last ON true""")


async def list_workers(tx: AsyncConnection) -> dict[str, Any]:
    """Return the workers seen within a day, and the jobs that each holds."""
    return {
        "workers": [
            {
                "id": row.id,
                "host": row.host,
                "version": row.version,
                "startedAt": utc_text(row.started_at),
                "seenAt": utc_text(row.seen_at),
                "alive": row.alive,
                "heldJobs": row.held,
                "oldestLeaseUntil": row.oldest_lease_until and utc_text(row.oldest_lease_until),
                "completedTotal": row.completed_total,
            }
            for row in await tx.execute(WORKERS)
        ]
    }


async def get_throughput_buckets(tx: AsyncConnection, minutes: int, seconds: int) -> dict[str, Any]:
    """Return the payments settled in each interval, oldest first, gaps as zeros."""
    rows = await tx.execute(THROUGHPUT, {"minutes": minutes, "seconds": float(seconds)})
    return {
        "bucketSeconds": seconds,
        "buckets": [
            {
                "start": utc_text(row.start),
                "completed": row.completed,
                "failed": row.failed,
                "discrepancy": row.discrepancy,
            }
            for row in rows
        ],
    }


async def get_audit_findings(tx: AsyncConnection) -> dict[str, Any]:
    """Return the auditor's latest findings; before the first audit, no invariants and no time."""
    rows = (await tx.execute(INVARIANTS)).all()
    newest = max(rows, key=lambda row: row.checked_at, default=None)
    return {
        "checkedAt": newest and utc_text(newest.checked_at),
        "mode": newest and newest.mode,
        "invariants": [
            {
                "name": row.invariant,
                "title": row.invariant.replace("_", " "),
                # A worker of another release may check an invariant that this one does not know.
                "description": INVARIANT_TITLES.get(row.invariant, ""),
                "ok": row.offending == 0,
                "offending": row.offending,
                "offenders": row.offenders,
            }
            for row in rows
        ],
    }


async def get_seal(tx: AsyncConnection) -> dict[str, Any]:
    """Return the chain's head, what is behind it, and the progress of its verification."""
    row = (await tx.execute(SEAL)).one()
    return {
        "headSeq": row.seq or 0,
        "headHash": row.head_hash,
        "signed": bool(row.signed),
        "sealedAt": time_or_none(row.sealed_at),
        "unsealedEntries": max(0, row.unsealed),
        "unsealedAgeSeconds": row.unsealed_age,
        "verifiedSeq": row.verified_seq,
        "verifiedAt": time_or_none(row.verified_at),
        "passCompletedAt": time_or_none(row.pass_completed_at),
        "problem": row.problem,
        "problemSeq": row.problem_seq,
        "problemAt": time_or_none(row.problem_at),
    }
