"""What a worker tells about itself: a sign of life, and how much it settled when."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.tables import THROUGHPUT_BUCKET_SECONDS
from recon_worker.reconciliation.reconcile import Tally

KEPT_SECONDS = 24 * 3600  # Throughput and workers not seen for longer are forgotten.

SIGN_OF_LIFE = f"""
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

FORGET = f"""
WITH gone AS (
    DELETE FROM workers WHERE seen_at < now() - interval '{KEPT_SECONDS} s'
)
DELETE FROM worker_throughput WHERE bucket_start < now() - interval '{KEPT_SECONDS} s'"""


@dataclass(slots=True)
class Settled:
    """Payments settled since the last sign of life, by the result they got."""

    completed: int = 0
    failed: int = 0
    discrepancy: int = 0

    def add(self, tally: Tally) -> None:
        """Count what a batch settled."""
        for _, outcome in tally.settled:
            if outcome.payment_status == "failed":
                self.failed += 1
            elif outcome.matched:
                self.completed += 1
            else:
                self.discrepancy += 1

    @property
    def total(self) -> int:
        """All of them."""
        return self.completed + self.failed + self.discrepancy


async def show_presence(
    connection: AsyncConnection, worker_id: str, host: str, version: str, settled: Settled
) -> None:
    """Say that this worker lives, and what it settled since it last said so."""
    await connection.exec_driver_sql(
        SIGN_OF_LIFE,
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
    """Take this worker off the list: it stopped in good order."""
    await connection.exec_driver_sql("DELETE FROM workers WHERE id = $1", (worker_id,))


async def forget_old(connection: AsyncConnection) -> None:
    """Drop what nobody will look at any more."""
    await connection.exec_driver_sql(FORGET)
