"""The worker's role can write no event without its cause."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from testkit.database.backlog import DIE, add_simple, die
from testkit.database.sql import Sql
from testkit.waiting import until

# Two payments: the first one's job is 1, the second one's is 2.
FIRST, SECOND = (f"(SELECT payment_id FROM recon_jobs WHERE id = {n})" for n in (1, 2))
DIED = (
    "WITH dead AS (UPDATE recon_jobs SET status = 'failed', attempts = 10, last_error = 'boom',"
    " updated_at = now() WHERE id = 1) "
)
DEATH = "INSERT INTO job_deaths (job_id, payment_id, reversal_id, attempts) VALUES "
STRAY_DEATHS = {
    "no job": f"{DEATH} (99, {FIRST}, NULL, 10)",
    "no payment": f"{DEATH} (1, gen_random_uuid(), NULL, 10)",
    "a pending job": f"{DEATH} (1, {FIRST}, NULL, 0)",
    "a job that died before": f"{DEATH} (2, {SECOND}, NULL, 10)",
    "another payment": f"{DIED} {DEATH} (1, {SECOND}, NULL, 10)",
    "a reversal that has no job": f"{DIED} {DEATH} (1, {FIRST}, gen_random_uuid(), 10)",
    "other attempts": f"{DIED} {DEATH} (1, {FIRST}, NULL, 9)",
    "one that died and one that did not": (
        f"{DIED} {DEATH} (1, {FIRST}, NULL, 10), (2, {SECOND}, NULL, 10)"
    ),
}
ENABLED, GONE, FAILING = (f"'00000000-0000-7000-8000-00000000000{n}'" for n in (1, 2, 3))
ENDPOINTS = f"""
INSERT INTO webhook_endpoints (id, url, failing_since) VALUES
    ({ENABLED}, 'https://a.example.com', NULL),
    ({GONE}, 'https://b.example.com', NULL),
    ({FAILING}, 'https://c.example.com', '2026-01-01Z')"""
ENDPOINT = "UPDATE webhook_endpoints SET"
DISABLE = f"{ENDPOINT} enabled_at = NULL, disabled_reason = 'gone' WHERE id = "
FAIL = f"{ENDPOINT} enabled_at = NULL, disabled_reason = 'failing' WHERE id = {FAILING}"
ENABLE = f"{ENDPOINT} enabled_at = now(), disabled_reason = NULL WHERE id = {GONE}"
DISABLING = "INSERT INTO webhook_disablings (endpoint_id, reason, failing_since) VALUES "
IS_GONE = f"{DISABLING} ({GONE}, 'gone', NULL)"
STRAY_DISABLINGS = {
    "an enabled endpoint": f"{DISABLING} ({ENABLED}, 'gone', NULL)",
    "another reason": f"{DISABLE} {ENABLED}; {DISABLING} ({ENABLED}, 'failing', NULL)",
    "another time": f"{FAIL}; {DISABLING} ({FAILING}, 'failing', '2026-01-02Z')",
    "one that is disabled and one that is not": (
        f"{DISABLE} {ENABLED}; {DISABLING} ({ENABLED}, 'gone', NULL), ({FAILING}, 'failing', NULL)"
    ),
    "one that was disabled before": IS_GONE,
    "one that is changed while it is disabled": f"{DISABLE} {GONE}; {IS_GONE}",
    "one that is enabled again": f"{DISABLE} {ENABLED}; {ENABLE}; {IS_GONE}",
}


@pytest.fixture
async def worker(sql: Sql, database_url: str) -> AsyncIterator[Sql]:
    """Connect as the worker; there are a pending and a dead job, and endpoints: one is disabled."""
    _, dead = await add_simple(sql, 2)
    await die(sql, dead)
    await sql.execute(ENDPOINTS)
    await sql.execute(f"{DISABLE} {GONE}; {IS_GONE}")
    connection = await asyncpg.connect(database_url.replace("postgres@", "payments_worker@"))
    yield connection
    await connection.close()


@pytest.mark.parametrize("event", STRAY_DEATHS)
async def test_the_worker_announces_no_death_that_did_not_happen(worker: Sql, event: str) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
        await worker.execute(STRAY_DEATHS[event])
    assert refused.value.constraint_name == "deaths_are_of_dead_jobs"


async def test_one_death_is_one_event(sql: Sql, worker: Sql) -> None:
    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        await worker.execute(f"{DIED} {DEATH} (1, {FIRST}, NULL, 10), (1, {FIRST}, NULL, 10)")
    assert refused.value.constraint_name == "job_deaths_once"
    first = await sql.fetchval(f"SELECT {FIRST}")
    assert await worker.fetchval(DIE, first) == 1


@pytest.mark.parametrize("event", STRAY_DISABLINGS)
async def test_the_worker_announces_no_disabling_that_did_not_happen(
    worker: Sql, event: str
) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
        await worker.execute(STRAY_DISABLINGS[event])
    assert refused.value.constraint_name == "disablings_are_of_disabled_webhooks"


async def test_the_worker_announces_what_it_disabled(worker: Sql) -> None:
    await worker.execute(
        f"{DISABLE} {ENABLED}; {FAIL};"
        f"{DISABLING} ({ENABLED}, 'gone', NULL), ({FAILING}, 'failing', '2026-01-01Z')"
    )
    await worker.execute(ENABLE)
    await worker.execute(f"{DISABLE} {GONE}; {IS_GONE}")
    assert await worker.fetchval("SELECT count(*) FROM webhook_disablings") == 4


@pytest.mark.parametrize("column", ["disabled_at", "created_at"])
async def test_the_worker_cannot_date_a_disabling(worker: Sql, column: str) -> None:
    forged = {
        "disabled_at": f"{ENDPOINT} disabled_at = now() WHERE id = {GONE}; {IS_GONE}",
        "created_at": "INSERT INTO webhook_disablings (endpoint_id, reason, created_at)"
        f" SELECT id, 'gone', disabled_at FROM webhook_endpoints WHERE id = {GONE}",
    }
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await worker.execute(forged[column])


async def test_one_disabling_is_one_event(worker: Sql) -> None:
    told = f"{DISABLING} ({ENABLED}, 'gone', NULL)"
    for again in (f"{told}, ({ENABLED}, 'gone', NULL)", f"{told}; {told}"):
        with pytest.raises(asyncpg.UniqueViolationError) as refused:
            await worker.execute(f"{DISABLE} {ENABLED}; {again}")
        assert refused.value.constraint_name == "webhook_disablings_once"


async def test_of_many_transactions_at_once_one_announces_a_disabling(
    sql: Sql, database_url: str
) -> None:
    """Each has begun before any disables: their transactions overlap whatever the scheduler."""
    await sql.execute(ENDPOINTS)
    url = database_url.replace("postgres@", "payments_worker@")
    async with asyncio.TaskGroup() as opening:
        tasks = [opening.create_task(asyncpg.connect(url)) for _ in range(8)]
    sessions = [task.result() for task in tasks]
    try:
        for session in sessions:
            await session.execute(f"BEGIN; SELECT FROM webhook_endpoints WHERE id = {GONE}")

        async def announce(session: Sql) -> bool:
            try:
                await session.execute(f"{DISABLE} {GONE} AND enabled_at IS NOT NULL; {IS_GONE}")
            except asyncpg.IntegrityConstraintViolationError:
                await session.execute("ROLLBACK")
                return False
            await session.execute("COMMIT")
            return True

        told = await asyncio.gather(*map(announce, sessions))
    finally:
        for session in sessions:
            await session.close()
    assert sum(told) == 1
    assert await sql.fetchval("SELECT count(*) FROM webhook_disablings") == 1


@pytest.mark.parametrize(
    ("end", "refusal"),
    [
        ("COMMIT", "webhook_disablings_once"),
        ("ROLLBACK", "disablings_are_of_disabled_webhooks"),
    ],
)
async def test_a_transaction_of_the_same_moment_waits_and_is_refused(
    sql: Sql, database_url: str, end: str, refusal: str
) -> None:
    """As the owner, who may date the event: by now() alone the moment cannot be arranged."""
    await sql.execute(ENDPOINTS)
    await sql.execute(f"BEGIN; {DISABLE} {GONE}; {IS_GONE}")
    moment = await sql.fetchval("SELECT now()")
    second = await asyncpg.connect(database_url)
    try:
        pid = second.get_server_pid()
        repeated = asyncio.create_task(
            second.execute(
                "INSERT INTO webhook_disablings (endpoint_id, reason, created_at)"
                f" VALUES ({GONE}, 'gone', $1)",
                moment,
            )
        )

        async def waits() -> bool:
            return bool(await sql.fetchval("SELECT pg_blocking_pids($1) <> '{}'", pid))

        await until(waits)
        await sql.execute(end)
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
            await repeated
    finally:
        await second.close()
    assert refused.value.constraint_name == refusal
