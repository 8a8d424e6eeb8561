"""Queries for operators: workers, throughput, the auditor's findings."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.tables import THROUGHPUT_BUCKET_SECONDS
from payments_core.domain.payments import utc_text
from payments_core.domain.statuses import WORKER_ALIVE_SECONDS

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

# Without the current bucket, which is incomplete and would always look like a drop.
THROUGHPUT = text(f"""
SELECT start, coalesce(sum(completed), 0)::bigint AS completed,
       coalesce(sum(failed), 0)::bigint AS failed,
       coalesce(sum(discrepancy), 0)::bigint AS discrepancy
FROM generate_series(
    date_bin('{THROUGHPUT_BUCKET_SECONDS} s', now() - make_interval(mins => :minutes), 'epoch'),
    date_bin('{THROUGHPUT_BUCKET_SECONDS} s', now(), 'epoch')
        - interval '{THROUGHPUT_BUCKET_SECONDS} s',
    interval '{THROUGHPUT_BUCKET_SECONDS} s') AS start
LEFT JOIN worker_throughput ON bucket_start = start
GROUP BY start ORDER BY start""")

INVARIANTS = text(
    "SELECT invariant, offending, mode, checked_at FROM audit_findings ORDER BY invariant"
)


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


async def get_throughput_buckets(tx: AsyncConnection, minutes: int) -> dict[str, Any]:
    """Return the payments settled in each ten seconds, oldest first, gaps as zeros."""
    return {
        "bucketSeconds": THROUGHPUT_BUCKET_SECONDS,
        "buckets": [
            {
                "start": utc_text(row.start),
                "completed": row.completed,
                "failed": row.failed,
                "discrepancy": row.discrepancy,
            }
            for row in await tx.execute(THROUGHPUT, {"minutes": minutes})
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
                "ok": row.offending == 0,
                "offending": row.offending,
            }
            for row in rows
        ],
    }
