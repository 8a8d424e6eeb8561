"""Four settled payments, and ways to break their ledger that the database's guards prevent."""

from sqlalchemy.ext.asyncio import AsyncEngine

from recon_worker.audit.auditor import Finding, Mode, audit
from testkit.database.backlog import Sql, add_payments
from testkit.waiting import until
from testkit.worker.own_system import running_worker

WANTED = [("a", "5", "USD"), ("a", "6.13", "USD"), ("b", "7", "USD"), ("b", "-1", "USD")]
FAST = {"poll_seconds_min": 0.02, "poll_seconds_max": 0.1}


async def settle_four(sql: Sql, url: str) -> None:
    """Add the WANTED payments and let a worker settle them, in this order, on one shard."""
    await add_payments(sql, WANTED)
    async with running_worker(url, clearing_shards=1, **FAST):
        await until_all_settled(sql)


async def until_all_settled(sql: Sql) -> None:
    """Wait until no payment is open."""

    async def done() -> bool:
        return not await sql.fetchval("SELECT count(*) FROM payments WHERE settled_at IS NULL")

    await until(done)


async def break_ledger(sql: Sql, statement: str) -> None:
    """Make a change that the database would reject."""
    await sql.execute(f"SET session_replication_role = replica; {statement}")
    await sql.execute("SET session_replication_role = DEFAULT")


async def findings_of(engine: AsyncEngine, mode: Mode) -> dict[str, Finding]:
    """Return one audit's findings by invariant."""
    findings = await audit(engine, mode)
    assert findings is not None
    return {finding.invariant.name: finding for finding in findings}
