"""A payment is open until it settles: its status may change, and it has no result."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from testkit.database.backlog import add_simple
from testkit.database.open_status import another_open_status
from testkit.database.sql import Sql

REVIEW = "UPDATE payments SET status = 'in_review', updated_at = now()"
COMPLETE = "UPDATE payments SET status = 'completed', settled_at = now(), updated_at = now()"
RESULT = """
INSERT INTO reconciliation_results (payment_id, recon_job_id, status, matched, notes, rule_version)
SELECT id, 1, 'completed', true, '', 1 FROM payments"""


@pytest.fixture
async def in_review(sql: Sql) -> AsyncIterator[Sql]:
    """Create a payment whose open status differs from its initial one."""
    async with another_open_status(sql):
        await add_simple(sql, 1)
        await sql.execute(REVIEW)
        yield sql


@pytest.mark.parametrize("role", ["payments_api", "payments_worker"])
async def test_an_open_payment_changes_its_status_and_settles(in_review: Sql, role: str) -> None:
    async with in_review.transaction():
        await in_review.execute(f"SET LOCAL ROLE {role}")
        await in_review.execute("UPDATE payments SET status = 'pending', updated_at = now()")
        await in_review.execute(REVIEW)
        await in_review.execute(COMPLETE.replace("completed", "failed"))
    assert await in_review.fetchval("SELECT status FROM payments") == "failed"


async def test_a_settled_payment_cannot_be_reopened(in_review: Sql) -> None:
    await in_review.execute(COMPLETE)
    with pytest.raises(asyncpg.RestrictViolationError, match="never changed"):
        await in_review.execute(f"{REVIEW}, settled_at = NULL")


@pytest.mark.parametrize(
    "statement",
    [
        f"{REVIEW}, settled_at = now()",
        COMPLETE.replace("settled_at = now()", "settled_at = NULL"),
    ],
)
async def test_only_a_settled_status_has_a_time(in_review: Sql, statement: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="settled_has_a_time"):
        await in_review.execute(statement)


async def test_an_open_payment_has_no_result(in_review: Sql) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="not settled"):
        await in_review.execute(RESULT)
    await in_review.execute(COMPLETE)
    await in_review.execute(RESULT)
