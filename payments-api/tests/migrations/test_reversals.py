"""Revision 0022 with reversals: it refuses to be downgraded as long as there are any."""

import asyncio

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from payments_api.migrate import migrate
from testkit.database.backlog import add_payments
from testkit.database.head_rows import until_a_transaction_waits
from testkit.database.reversals import add_reversal
from testkit.database.sql import Sql

STORED = """
SELECT (SELECT version_num FROM alembic_version), (SELECT count(*) FROM reversals),
       (SELECT reserved FROM reversal_totals)"""
FORGOTTEN = "SELECT FROM information_schema.columns WHERE column_name = 'reversal_id'"


async def _reversed(sql: Sql) -> None:
    (payment,) = await add_payments(sql, [("acc_1", "10", "USD")])
    await sql.execute("UPDATE payments SET status = 'completed', settled_at = now()")
    await add_reversal(sql, payment, "4")


@pytest.mark.parametrize("status", ["pending", "completed", "failed"])
async def test_reversals_of_any_status_prevent_a_downgrade(empty_url: str, status: str) -> None:
    """A failed one too: its result and its key would be lost."""
    await migrate(empty_url, "0022")
    sql = await asyncpg.connect(empty_url)
    try:
        await _reversed(sql)
        if status != "pending":
            await sql.execute(f"UPDATE reversals SET status = '{status}', settled_at = now()")
        before = await sql.fetchrow(STORED)
        with pytest.raises(
            DBAPIError, match="there are reversals, which revision 0021 cannot hold"
        ):
            await migrate(empty_url, "0021")
        assert await sql.fetchrow(STORED) == before
    finally:
        await sql.close()


async def test_without_reversals_payments_survive_a_downgrade(empty_url: str) -> None:
    await migrate(empty_url, "0022")
    sql = await asyncpg.connect(empty_url)
    try:
        await add_payments(sql, [("acc_1", "10", "USD")])
        await migrate(empty_url, "0021")
        assert await sql.fetch(FORGOTTEN) == []
        assert await sql.fetchval("SELECT count(*) FROM recon_jobs JOIN payments ON true") == 1
        await migrate(empty_url, "0022")
        assert await sql.fetchval("SELECT count(*) FROM recon_jobs WHERE payment_id IS NULL") == 0
    finally:
        await sql.close()


async def test_a_reversal_that_commits_meanwhile_prevents_a_downgrade(empty_url: str) -> None:
    await migrate(empty_url, "0022")
    sql, other = [await asyncpg.connect(empty_url) for _ in range(2)]
    try:
        creating = other.transaction()
        await creating.start()
        await _reversed(other)
        downgrading = asyncio.create_task(migrate(empty_url, "0021"))
        await until_a_transaction_waits(sql)
        await creating.commit()
        with pytest.raises(DBAPIError, match="there are reversals"):
            await downgrading
        assert await sql.fetchval("SELECT count(*) FROM reversals") == 1
    finally:
        await sql.close()
        await other.close()
