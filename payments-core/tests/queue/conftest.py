"""Claims of jobs, and jobs whose leases end."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement
from payments_core.queue import jobs as queue
from testkit.database.sql import Sql


async def claim_jobs(engine: AsyncEngine, limit: int = 100, seconds: float = 60) -> Any:
    lease = queue.new_lease("worker", seconds)
    async with single_statement(engine) as connection:
        return lease, await queue.claim(connection, lease, limit)


async def expire_and_free(sql: Sql) -> None:
    """Expire and free all held jobs, like the rescue but without jitter."""
    await sql.execute(
        "UPDATE recon_jobs SET status = 'pending', lease_token = NULL, locked_until = NULL,"
        " run_at = now() WHERE status = 'processing'"
    )
