"""The worker's role can write no event without its cause."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from testkit.database.backlog import DIE, add_simple, die
from testkit.database.sql import Sql

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
INSERT INTO webhook_endpoints (id, url, enabled_at, disabled_reason, failing_since) VALUES
    ({ENABLED}, 'https://a.example.com', now(), NULL, NULL),
    ({GONE}, 'https://b.example.com', NULL, 'gone', NULL),
    ({FAILING}, 'https://c.example.com', NULL, 'failing', '2026-01-01Z')"""
DISABLING = "INSERT INTO webhook_disablings (endpoint_id, reason, failing_since) VALUES "
STRAY_DISABLINGS = {
    "an enabled endpoint": f"{DISABLING} ({ENABLED}, 'gone', NULL)",
    "another reason": f"{DISABLING} ({GONE}, 'failing', NULL)",
    "another time": f"{DISABLING} ({FAILING}, 'failing', '2026-01-02Z')",
    "one that is disabled and one that is not": (
        f"{DISABLING} ({GONE}, 'gone', NULL), ({ENABLED}, 'gone', NULL)"
    ),
}


@pytest.fixture
async def worker(sql: Sql, database_url: str) -> AsyncIterator[Sql]:
    """Connect as the worker; there are a pending and a dead job, and three endpoints."""
    _, dead = await add_simple(sql, 2)
    await die(sql, dead)
    await sql.execute(ENDPOINTS)
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
        f"{DISABLING} ({GONE}, 'gone', NULL), ({FAILING}, 'failing', '2026-01-01Z')"
    )
