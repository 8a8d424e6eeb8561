"""Four settled payments, and ways to break their ledger that the database's guards prevent."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from recon_worker.audit.auditor import audit
from recon_worker.audit.findings import Finding, Mode
from testkit.database.backlog import Stored, add_payments
from testkit.database.sql import Sql
from testkit.waiting import WAIT_SECONDS_MAX, until
from testkit.worker.own_system import running_worker

WANTED = [("a", "5", "USD"), ("a", "6.13", "USD"), ("b", "7", "USD"), ("b", "-1", "USD")]
OPEN = """
SELECT (SELECT count(*) FROM payments WHERE settled_at IS NULL)
     + (SELECT count(*) FROM reversals WHERE settled_at IS NULL)"""
FAST = {"poll_seconds_min": 0.02, "poll_seconds_max": 0.1}


@dataclass(frozen=True)
class Break:
    """SQL that breaks an invariant; `modes` is which audits can see it."""

    invariant: str
    sql: str
    names: str  # A query whose only value must be in the offending row.
    modes: tuple[Mode, ...] = ("incremental", "full")


async def settle_four(sql: Sql, url: str) -> list[Stored]:
    """Add the WANTED payments and let a worker settle them, in this order, on one shard."""
    stored = await add_payments(sql, WANTED)
    async with running_worker(url, clearing_shards=1, **FAST):
        await until_all_settled(sql)
    return stored


async def until_all_settled(sql: Sql, seconds: float = WAIT_SECONDS_MAX) -> None:
    """Wait until no payment and no reversal is open."""

    async def done() -> bool:
        return not await sql.fetchval(OPEN)

    await until(done, seconds)


async def break_ledger(sql: Sql, statement: str) -> None:
    """Make a change that the database would reject."""
    await sql.execute(f"SET session_replication_role = replica; {statement}")
    await sql.execute("SET session_replication_role = DEFAULT")


async def findings_of(engine: AsyncEngine, mode: Mode) -> dict[str, Finding]:
    """Return one audit's findings by invariant."""
    findings = await audit(engine, mode)
    assert findings is not None
    return {finding.invariant.name: finding for finding in findings}


async def assert_found(sql: Sql, engine: AsyncEngine, broken: Break) -> None:
    """Break the ledger; check that each audit that can see it names the row."""
    row = await sql.fetchval(broken.names)
    await break_ledger(sql, broken.sql)
    row = row if row is not None else await sql.fetchval(broken.names)
    for mode in broken.modes:
        finding = (await findings_of(engine, mode))[broken.invariant]
        named = [value for offender in finding.offenders for value in offender.values()]
        assert row in named, mode
