"""The worker's heartbeat: a sign of life, and its throughput."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.tables import THROUGHPUT_BUCKET_SECONDS
from recon_worker.reconciliation.reconcile import BatchResult

KEPT_SECONDS = 24 * 3600  # Older throughput, and workers not seen since, are deleted.

HEARTBEAT = f"""
WITH alive AS (
    INSERT INTO workers AS worker (id, host, version, completed_total)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (id) DO UPDATE
    SET seen_at = now(), completed_total = worker.completed_total + excluded.completed_total
)
INSERT INTO worker_throughput AS done (bucket_start, worker_id, completed, failed, discrepancy)
SELECT date_bin('{THROUGHPUT_BUCKET_SECONDS} s', now(), 'epoch'), $1, $5, $6, $7 WHERE $4 > 0
ON CONFLICT (bucket_start, worker_id) DO UPDATE
SET completed = done.completed + excluded.completed,
    failed = done.failed + excluded.failed,
    discrepancy = done.discrepancy + excluded.discrepancy"""

DELETE_STALE = f"""
WITH gone AS (
    DELETE FROM workers WHERE seen_at < now() - interval '{KEPT_SECONDS} s'
)
DELETE FROM worker_throughput WHERE bucket_start < now() - interval '{KEPT_SECONDS} s'"""


@dataclass(slots=True)
class Settled:
    """Payments settled since the last heartbeat, by result."""

    completed: int = 0
    failed: int = 0
    discrepancy: int = 0

    def add(self, result: BatchResult) -> None:
        """Count the payments that a batch settled."""
        for _, outcome in result.settled_payments():
            if outcome.payment_status == "failed":
                self.failed += 1
            elif outcome.matched:
                self.completed += 1
            else:
                self.discrepancy += 1

    @property
    def total(self) -> int:
        """Return the sum of all results."""
        return self.completed + self.failed + self.discrepancy


async def report_heartbeat(
    connection: AsyncConnection, worker_id: str, host: str, version: str, settled: Settled
) -> None:
    """Record that this worker runs, and its settlements since the last heartbeat."""
    await connection.exec_driver_sql(
        HEARTBEAT,
        (
            worker_id,
            host,
            version,
            settled.total,
            settled.completed,
            settled.failed,
            settled.discrepancy,
        ),
    )


async def leave(connection: AsyncConnection, worker_id: str) -> None:
    """Remove this worker from the list after an orderly stop."""
    await connection.exec_driver_sql("DELETE FROM workers WHERE id = $1", (worker_id,))


async def delete_stale(connection: AsyncConnection) -> None:
    """Delete throughput and workers older than KEPT_SECONDS."""
    await connection.exec_driver_sql(DELETE_STALE)
