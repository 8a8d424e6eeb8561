"""Leases of jobs: a job is completed, renewed and handed back only by its holder."""

import asyncio

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement, transaction
from payments_core.queue import jobs as queue
from payments_core.queue.jobs import Lease, LeaseLost
from testkit.database.backlog import add_simple, job_rows, status_counts
from testkit.database.sql import Sql

from .conftest import claim_jobs, expire_and_free


async def test_a_payment_never_gets_a_second_job(sql: Sql, database_url: str) -> None:
    stored = await add_simple(sql, 1)
    with pytest.raises(asyncpg.UniqueViolationError):
        await sql.execute("INSERT INTO recon_jobs (payment_id) VALUES ($1)", stored[0].id)


async def test_a_completion_after_the_job_was_claimed_again_rolls_its_work_back(
    sql: Sql, engine: AsyncEngine
) -> None:
    [payment] = await add_simple(sql, 1)
    late, [job] = await claim_jobs(engine)
    await expire_and_free(sql)
    current, _ = await claim_jobs(engine)

    async def work_and_complete(lease: Lease) -> None:
        async with transaction(engine) as tx:
            await tx.exec_driver_sql(
                "UPDATE payments SET status = 'failed', settled_at = now(), updated_at = now()"
            )
            await queue.complete(tx, lease, [job.id])

    with pytest.raises(LeaseLost):
        await work_and_complete(late)
    assert await sql.fetchval("SELECT status FROM payments WHERE id = $1", payment.id) == "pending"
    assert await status_counts(sql) == {"processing": 1}

    await work_and_complete(current)
    assert await status_counts(sql) == {"completed": 1}


async def test_one_lost_job_of_a_batch_rolls_the_whole_batch_back(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 3)
    lease, jobs = await claim_jobs(engine)
    await sql.execute("UPDATE recon_jobs SET lease_token = gen_random_uuid() WHERE id = 2")

    with pytest.raises(LeaseLost):
        async with transaction(engine) as tx:
            await queue.complete(tx, lease, [job.id for job in jobs])
    assert await status_counts(sql) == {"processing": 3}
    async with single_statement(engine) as connection:
        assert await queue.held_ids(connection, lease, [1, 2, 3]) == {1, 3}


async def test_a_completed_job_is_not_completed_again(sql: Sql, engine: AsyncEngine) -> None:
    await add_simple(sql, 1)
    lease, [job] = await claim_jobs(engine)
    async with transaction(engine) as tx:
        await queue.complete(tx, lease, [job.id])
    with pytest.raises(LeaseLost):
        async with transaction(engine) as tx:
            await queue.complete(tx, lease, [job.id])


async def test_renewal_extends_only_held_leases(sql: Sql, engine: AsyncEngine) -> None:
    await add_simple(sql, 3)
    lease, jobs = await claim_jobs(engine, seconds=1)
    await sql.execute("UPDATE recon_jobs SET lease_token = gen_random_uuid() WHERE id = 2")
    long = Lease(lease.token, lease.worker_id, 1000)
    async with single_statement(engine) as connection:
        assert await queue.renew(connection, long, [job.id for job in jobs]) == 2
    left = "extract(epoch FROM locked_until - now()) > 900"
    rows = await sql.fetch(f"SELECT id FROM recon_jobs WHERE {left} ORDER BY id")
    assert [row["id"] for row in rows] == [1, 3]


async def test_renewal_does_not_wait_for_the_transaction_that_completes_the_job(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 2)
    lease, jobs = await claim_jobs(engine)
    async with transaction(engine) as tx:
        await queue.complete(tx, lease, [1])
        async with asyncio.timeout(1), single_statement(engine) as connection:
            assert await queue.renew(connection, lease, [job.id for job in jobs]) == 1


async def test_a_job_handed_back_is_claimable_at_once_with_all_its_attempts(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 2)
    lease, _ = await claim_jobs(engine)
    stranger = queue.new_lease("stranger", 1)
    async with single_statement(engine) as connection:
        assert await queue.hand_back(connection, stranger, [1, 2]) == 0
        assert await queue.hand_back(connection, lease, [1, 2]) == 2
    assert [job["attempts"] for job in await job_rows(sql)] == [0, 0]
    _, jobs = await claim_jobs(engine)
    assert [job.attempts for job in jobs] == [1, 1]


async def test_leases_are_handed_back_whole_without_the_jobs_ids(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 5)
    claims = [await claim_jobs(engine, 1) for _ in range(4)]
    (first, (done,)), (second, _), (third, _), _ = claims
    nothing_taken = queue.new_lease("worker", 60)
    async with transaction(engine) as tx:
        await queue.complete(tx, first, [done.id])
    async with single_statement(engine) as connection:
        leases = {first, second, third, nothing_taken}
        assert await queue.hand_back_leases(connection, leases) == 2
    assert [(job["status"], job["attempts"]) for job in await job_rows(sql)] == [
        ("completed", 1),
        ("pending", 0),
        ("pending", 0),
        ("processing", 1),
        ("pending", 0),
    ]
