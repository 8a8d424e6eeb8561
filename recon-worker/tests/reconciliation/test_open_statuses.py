"""Worker and operators treat an unsettled payment as open, even in an unknown status.

An older release runs beside a newer one and does not know a status that the newer one adds.
"""

from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import create_engine, transaction
from payments_core.queue.dead_letters import discard
from testkit.database.backlog import Stored, add_payments, until_completed
from testkit.database.ledgers.settled import findings_of
from testkit.database.open_status import another_open_status
from testkit.database.sql import Sql
from testkit.model.ledger import assert_audit_is_clean, assert_ledger_is_of
from testkit.worker.own_system import running_worker

REVIEW = "UPDATE payments SET status = 'in_review', updated_at = clock_timestamp()"


@pytest.fixture
async def in_review(sql: Sql) -> AsyncIterator[list[Stored]]:
    """Store payments that are open in a status of a newer release, with their jobs."""
    async with another_open_status(sql):
        stored = await add_payments(sql, [("a", "5", "USD"), ("a", "-1", "USD")])
        await sql.execute(REVIEW)
        yield stored


async def test_a_worker_settles_a_payment_in_an_unknown_open_status(
    sql: Sql, engine: AsyncEngine, worker_url_of_database: str, in_review: list[Stored]
) -> None:
    observed = _settle_times_observed()
    async with running_worker(worker_url_of_database):
        await until_completed(sql, 2)
    await assert_ledger_is_of(sql, in_review)
    await assert_audit_is_clean(engine)
    # A deliberately held payment does not count in the freshness objective.
    assert _settle_times_observed() == observed


def _settle_times_observed() -> float | None:
    return REGISTRY.get_sample_value("payments_settle_duration_seconds_count")


async def test_a_discard_fails_a_payment_in_any_open_status(
    sql: Sql, engine: AsyncEngine, api_url_of_database: str, in_review: list[Stored]
) -> None:
    await sql.execute("UPDATE recon_jobs SET status = 'failed', last_error = 'x'")
    api = create_engine(api_url_of_database, application_name="test", pool_size=2)
    for job_id in (1, 2):
        async with transaction(api) as tx:
            await discard(tx, job_id, Operator("ann"), "a test")
    await api.dispose()
    rows = await sql.fetch("SELECT status, settled_at IS NOT NULL FROM payments")
    assert [tuple(row) for row in rows] == [("failed", True)] * len(in_review)
    await assert_audit_is_clean(engine)


async def test_the_auditor_reports_a_payment_in_an_unknown_status(
    engine: AsyncEngine, in_review: list[Stored]
) -> None:
    broken = {name: f.offenders for name, f in (await findings_of(engine, "full")).items()}
    assert {name for name, offenders in broken.items() if offenders} == {"settled_once"}
    assert {row["id"] for row in broken["settled_once"]} == {stored.id for stored in in_review}
