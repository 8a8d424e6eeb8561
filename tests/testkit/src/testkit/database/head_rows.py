"""Block a posting inside its transaction by locking the head row that it needs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from testkit.database.backlog import Stored
from testkit.database.sql import Sql
from testkit.waiting import until


@asynccontextmanager
async def held_head_row(sql: Sql, payment: Stored) -> AsyncIterator[None]:
    """Lock the head row of the payment's account, which has no entries, while the block runs."""
    transaction = sql.transaction()
    await transaction.start()
    try:
        await sql.execute(
            "INSERT INTO accounts VALUES ($1, $2, 0, 0, 0, 0)",
            payment.account_id,
            payment.currency,
        )
        yield
    finally:
        await transaction.rollback()


async def until_a_transaction_waits(sql: Sql) -> None:
    """Return when a transaction waits for a lock."""

    async def waiting() -> bool:
        return bool(await sql.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    await until(waiting)
