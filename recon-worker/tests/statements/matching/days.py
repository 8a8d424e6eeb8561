"""Statements of September days, and the bridges of these days after their import."""

from datetime import date

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.matching.bridge import Bridge
from recon_worker.audit.statements import STATEMENT_INVARIANTS
from testkit.camt_files import Day, Entry
from testkit.command_line import CommandLine
from testkit.database.ledgers.settled import findings_of
from testkit.database.sql import Sql

from .conftest import bridge_of

AS_OF = date(2026, 9, 28)


def on(day: int) -> str:
    """Return the day of the month in ISO 8601."""
    return f"2026-09-{day:02}"


def statement(
    first: int, last: int, amounts: dict[int, str], opening: str, closing: str | None = None
) -> Day:
    """Return a statement of some days with one line for each amount."""
    lines = [Entry(amount, on(day), f"E-{day}-{amount}") for day, amount in amounts.items()]
    bank_id = f"S-{first}-{last}-{len(lines)}-{closing}"
    return Day(lines, opening, closing, on(first), on(last), bank_id)


async def bridge(sql: Sql, engine: AsyncEngine, day: int) -> Bridge:
    """Return the bridge of the only source's day."""
    source = await sql.fetchval("SELECT id FROM recon_sources")
    return await bridge_of(engine, source, date.fromisoformat(on(day)), AS_OF)


async def accept_all(sql: Sql, program: CommandLine) -> int:
    """Accept every quarantined file as an operator; return their number."""
    files = await sql.fetch("SELECT id FROM statement_files WHERE status = 'quarantined'")
    for file in files:
        words = ("statements", "accept", str(file["id"]), "--actor", "ada")
        status, _out, err = await program(*words, "--reason", "the bank confirms it")
        assert status == 0, err
    return len(files)


async def assert_statements_hold(engine: AsyncEngine) -> None:
    """Assert that a full audit finds no fault in the statements."""
    findings = await findings_of(engine, "full")
    assert [findings[each.name].offenders for each in STATEMENT_INVARIANTS] == [
        [] for _ in STATEMENT_INVARIANTS
    ]
