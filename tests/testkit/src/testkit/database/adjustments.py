"""Adjustments of each status, for tests of what keeps them."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import transaction
from payments_core.matching.adjustments import Decision, decide, propose
from payments_core.matching.lines import set_aside
from recon_worker.statements.matching.adjustments import post_approved
from testkit.database.matching_books import Line, add_source, add_statement
from testkit.database.sql import Sql

ANN, BOB = Operator("ann"), Operator("bob")


async def adjust_five(sql: Sql, engine: AsyncEngine) -> dict[str, UUID]:
    """Store an adjustment of each status, of a source in USD; return their ids by status."""
    source = await add_source(sql, currency="USD")
    fees = [Line(f"-{number}") for number in range(1, 6)]
    lines = await add_statement(sql, source, fees, currency="USD")
    statuses = ("posted", "failed", "rejected", "approved", "proposed")
    ids: dict[str, UUID] = {}
    for line, status in zip(lines, statuses, strict=True):
        async with transaction(engine) as tx:
            ids[status] = await propose(tx, source, line, (), "fee", ANN, "a fee")

    async def act(status: str, decision: Decision) -> None:
        async with transaction(engine) as tx:
            await decide(tx, source, ids[status], decision, BOB, "a reason")

    async with transaction(engine) as tx:
        await set_aside(tx, source, lines[1], "explain", ANN, "known")
    await act("posted", "approve")
    await act("failed", "approve")
    await post_approved(engine)
    await act("rejected", "reject")
    await act("approved", "approve")
    return ids
