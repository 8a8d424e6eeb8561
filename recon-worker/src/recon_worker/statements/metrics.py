"""The Prometheus metrics of statements."""

from prometheus_client import Counter, Gauge
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement
from payments_core.db.tables import statement_files

FILES_IMPORTED = Counter(
    "recon_statement_files_imported",
    "Statement files that this worker imported, by outcome: accepted or quarantined.",
    ["outcome"],
)
FILES_QUARANTINED = Gauge(
    "recon_statement_files_quarantined", "Statement files that wait for an operator's decision."
)
for _outcome in ("accepted", "quarantined"):
    FILES_IMPORTED.labels(_outcome)


async def observe(engine: AsyncEngine) -> None:
    """Set the gauges."""
    waiting = select(func.count()).where(statement_files.c.status == "quarantined")
    async with single_statement(engine) as connection:
        FILES_QUARANTINED.set((await connection.execute(waiting)).scalar_one())
