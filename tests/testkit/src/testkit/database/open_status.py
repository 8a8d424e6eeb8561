"""A payment status that no release knows, to test how code and guards treat open payments."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from testkit.database.ledgers.settled import break_ledger
from testkit.database.sql import Sql

IN_REVIEW = "in_review"
KNOWN = "ALTER TABLE payments DROP CONSTRAINT payment_status_known"
DEFINITION = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1"


@asynccontextmanager
async def another_open_status(sql: Sql) -> AsyncIterator[str]:
    """Allow the status `in_review` until the block ends, as a newer release's schema may."""
    known = await sql.fetchval(DEFINITION, "payment_status_known")
    await sql.execute(KNOWN)
    try:
        yield IN_REVIEW
    finally:
        await break_ledger(sql, f"DELETE FROM payments WHERE status = '{IN_REVIEW}'")
        await sql.execute(f"ALTER TABLE payments ADD CONSTRAINT payment_status_known {known}")
