"""Claims: their order, their contents, and concurrent claimers."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement
from payments_core.queue import jobs as queue
from testkit.database.backlog import add_simple, job_rows
from testkit.database.sql import Sql

from .conftest import claim_jobs, expire_and_free


async def test_a_claim_with_a_cursor_takes_the_next_jobs_in_claim_order(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 6)
    await sql.execute("UPDATE recon_jobs SET run_at = now() - interval '1 h' WHERE id IN (1, 2)")
    await sql.execute("UPDATE recon_jobs SET run_at = now() - interval '2 h' WHERE id = 3")
    await sql.execute("UPDATE recon_jobs SET priority = 1 WHERE id = 4")
    lease = queue.new_lease("worker", 60)
    async with single_statement(engine) as connection:
        (third, first) = sorted(await queue.claim(connection, lease, 2), key=lambda job: job.run_at)
        assert (third.id, first.id) == (3, 1)
        await queue.hand_back(connection, lease, [third.id, first.id])
        behind = await queue.claim(connection, queue.new_lease("worker", 60), 9, first.cursor)
        assert sorted(job.id for job in behind) == [2, 4, 5, 6]
        rest = await queue.claim(connection, queue.new_lease("worker", 60), 9)
        assert sorted(job.id for job in rest) == [1, 3]


async def test_a_claim_takes_the_oldest_ready_jobs_of_the_most_urgent_priority(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 5)
    await sql.execute("UPDATE recon_jobs SET priority = 1 WHERE id = 1")
    await sql.execute("UPDATE recon_jobs SET run_at = now() - interval '1 h' WHERE id = 4")
    await sql.execute("UPDATE recon_jobs SET run_at = now() + interval '1 h' WHERE id = 2")

    _, first = await claim_jobs(engine, limit=1)
    _, second = await claim_jobs(engine, limit=2)
    _, rest = await claim_jobs(engine)

    assert [job.id for job in first] == [4]
    assert [job.id for job in second] == [3, 5]
    assert [job.id for job in rest] == [1]


async def test_a_claim_returns_the_payment_and_stores_holder_and_expiry(
    sql: Sql, engine: AsyncEngine
) -> None:
    [payment] = await add_simple(sql, 1)
    lease, [job] = await claim_jobs(engine, seconds=60)

    assert (job.payment_id, job.amount, job.payment_status, job.attempts) == (
        payment.id,
        payment.amount,
        "pending",
        1,
    )
    [row] = await job_rows(sql)
    assert (row["status"], row["locked_by"], row["attempts"]) == ("processing", "worker", 1)
    assert row["lease_token"] == lease.token
    assert (row["locked_until"] - row["locked_at"]).total_seconds() == 60


async def test_concurrent_claimers_take_each_job_once(sql: Sql, engine: AsyncEngine) -> None:
    await add_simple(sql, 400)

    async def claim_until_none_is_left() -> list[int]:
        taken: list[int] = []
        while True:
            _, jobs = await claim_jobs(engine, limit=7)
            if not jobs:
                return taken
            taken.extend(job.id for job in jobs)

    takers = await asyncio.gather(*(claim_until_none_is_left() for _ in range(8)))

    assert sorted(job_id for taken in takers for job_id in taken) == list(range(1, 401))
    assert sum(1 for taken in takers if taken) > 1


async def test_a_claim_skips_jobs_that_another_is_claiming(sql: Sql, engine: AsyncEngine) -> None:
    await add_simple(sql, 4)
    async with sql.transaction():
        await sql.execute("SELECT FROM recon_jobs WHERE id IN (1, 2) FOR UPDATE")
        async with asyncio.timeout(2):
            _, jobs = await claim_jobs(engine)
    assert [job.id for job in jobs] == [3, 4]


async def test_every_claim_has_its_own_token(sql: Sql, engine: AsyncEngine) -> None:
    await add_simple(sql, 1)
    first, _ = await claim_jobs(engine)
    await expire_and_free(sql)
    second, [job] = await claim_jobs(engine)

    assert first.token != second.token
    assert job.attempts == 2
