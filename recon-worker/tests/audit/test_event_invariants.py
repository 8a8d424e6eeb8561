"""Events without a cause, and causes without an event, are found and named."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import record_action
from payments_core.db.engine import transaction
from payments_core.queue.dead_letters import replay
from recon_worker.audit.events import EVENT_INVARIANTS
from recon_worker.audit.findings import Mode
from recon_worker.webhooks.health import DISABLE, WORKER
from testkit.database.backlog import add_simple, die
from testkit.database.ledgers.settled import (
    Break,
    assert_found,
    break_ledger,
    findings_of,
    settle_four,
)
from testkit.database.sql import Sql

FULL: tuple[Mode, ...] = ("full",)
ENDPOINT = "'00000000-0000-7000-8000-000000000001'"
AGAIN = (
    "INSERT INTO webhook_disablings (endpoint_id, reason, created_at)"
    " SELECT endpoint_id, reason, created_at {} FROM webhook_disablings"
)
# Jobs 1 to 4 are settled, 3 is pruned, 5 is dead, 6 is pending again, 7 was never dead.
DEATH = "INSERT INTO job_deaths (job_id, payment_id, attempts) VALUES "
OF_JOB = "(SELECT payment_id FROM recon_jobs WHERE id = {})"
BREAKS = [
    *(
        Break("death_is_of_its_job", sql, names)
        for sql, names in (
            (f"{DEATH} (99, {OF_JOB.format(7)}, 10)", "SELECT 99"),
            (f"{DEATH} (7, gen_random_uuid(), 10)", "SELECT 7"),
            (f"{DEATH} (7, {OF_JOB.format(6)}, 10)", "SELECT 7"),
            (f"{DEATH} (7, {OF_JOB.format(7)}, 0)", "SELECT 7"),
            ("UPDATE job_deaths SET reversal_id = payment_id WHERE job_id = 5", "SELECT 5"),
            (
                f"DELETE FROM recon_jobs WHERE id = 2; {DEATH} (2, {OF_JOB.format(1)}, 10)",
                "SELECT 2",
            ),
            ("DELETE FROM recon_jobs WHERE id = 5", "SELECT 5"),
            (f"{DEATH} (5, {OF_JOB.format(5)}, 10)", "SELECT 5"),
            ("DELETE FROM operator_actions WHERE action = 'replay'", "SELECT 6"),
            (
                "UPDATE operator_actions SET created_at = now() - interval '1 day'"
                " WHERE action = 'replay'",
                "SELECT 6",
            ),
        )
    ),
    Break(
        "death_is_of_its_job",
        "INSERT INTO job_deaths (job_id, payment_id, attempts, created_at)"
        f" VALUES (99, {OF_JOB.format(7)}, 10, now() - interval '2 hours')",
        "SELECT 99",
        FULL,
    ),
    *(
        Break("death_is_of_its_job", sql, names, FULL)
        for sql, names in (
            ("DELETE FROM job_deaths WHERE job_id = 5", "SELECT 5"),
            (
                "UPDATE recon_jobs SET status = 'failed', last_error = 'x', updated_at = now()"
                " WHERE id = 7",
                "SELECT 7",
            ),
        )
    ),
    *(
        Break("disabling_is_on_record", sql, f"SELECT {ENDPOINT}::uuid")
        for sql in (
            f"INSERT INTO webhook_disablings (endpoint_id, reason) VALUES ({ENDPOINT}, 'failing')",
            "DELETE FROM operator_actions",
            "UPDATE webhook_disablings SET reason = 'failing'",
            "UPDATE webhook_disablings SET created_at = created_at - interval '30 minutes'",
            # Told again: before the record, as by an old transaction, after it, and beside others.
            AGAIN.format("- interval '1 second'"),
            AGAIN.format("+ interval '1 microsecond'"),
            AGAIN.format("+ interval '1 minute'"),
            "UPDATE operator_actions SET created_at = created_at - interval '1 day'"
            " WHERE action = 'disable_webhook' AND id = (SELECT max(id) FROM operator_actions)",
        )
    ),
    *(
        Break("disabling_is_on_record", sql, f"SELECT {ENDPOINT}::uuid", FULL)
        for sql in (
            "DELETE FROM webhook_disablings",
            "UPDATE webhook_endpoints SET disabled_at = disabled_at + interval '1 second'",
        )
    ),
]


@pytest.fixture
async def events(sql: Sql, engine: AsyncEngine, worker_url_of_database: str) -> None:
    """Events of a job pruned since, a dead one, one replayed twice, an endpoint disabled twice."""
    await settle_four(sql, worker_url_of_database)
    await break_ledger(
        sql, f"{DEATH} (3, {OF_JOB.format(3)}, 10); DELETE FROM recon_jobs WHERE id = 3"
    )
    dead, replayed, _ = await add_simple(sql, 3)
    await die(sql, dead)
    for _ in range(2):  # It dies again.
        job_id = await die(sql, replayed)
        async with transaction(engine) as tx:
            await replay(tx, job_id, WORKER, "again")
    await sql.execute(
        f"INSERT INTO webhook_endpoints (id, url) VALUES ({ENDPOINT}, 'https://a.example.com')"
    )
    endpoint = await sql.fetchval("SELECT id FROM webhook_endpoints")
    for _ in range(2):  # It is enabled in between.
        await sql.execute("UPDATE webhook_endpoints SET enabled_at = now(), disabled_reason = NULL")
        async with transaction(engine) as tx:
            await tx.exec_driver_sql(DISABLE, (endpoint, "gone"))
            subject = f"webhook {endpoint}"
            await record_action(tx, "disable_webhook", WORKER, "gone", subject=subject)


@pytest.mark.usefixtures("events")
@pytest.mark.parametrize("mode", ["incremental", "full"])
async def test_events_with_their_causes_break_no_invariant(engine: AsyncEngine, mode: Mode) -> None:
    findings = await findings_of(engine, mode)
    assert {one.name: findings[one.name].offenders for one in EVENT_INVARIANTS} == {
        one.name: [] for one in EVENT_INVARIANTS
    }


@pytest.mark.usefixtures("events")
@pytest.mark.parametrize("mode", ["incremental", "full"])
async def test_a_transaction_that_began_before_an_earlier_record_is_no_repetition(
    sql: Sql, engine: AsyncEngine, mode: Mode
) -> None:
    """It waited for the endpoint, which was disabled and enabled meanwhile."""
    await break_ledger(
        sql,
        "UPDATE webhook_disablings SET created_at = interval '1 microsecond'"
        " + (SELECT min(created_at) FROM webhook_disablings)"
        " WHERE id = (SELECT max(id) FROM webhook_disablings);"
        " UPDATE webhook_endpoints SET disabled_at ="
        " (SELECT max(created_at) FROM webhook_disablings)",
    )
    assert (await findings_of(engine, mode))["disabling_is_on_record"].offenders == []


@pytest.mark.usefixtures("events")
@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.sql)
async def test_an_event_without_its_cause_is_named(
    sql: Sql, engine: AsyncEngine, broken: Break
) -> None:
    await assert_found(sql, engine, broken)
