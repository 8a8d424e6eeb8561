"""The life of a job on a real Postgres: added, claimed, and finished only by its holder."""

import asyncio
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement, transaction
from payments_core.queue import jobs as queue
from payments_core.queue.jobs import ClaimedJob, Lease, LeaseLost
from testkit.database.backlog import Sql, add_simple, job_rows, status_counts


async def _claim(engine: AsyncEngine, limit: int = 100, seconds: float = 60) -> Any:
    lease = queue.new_lease("worker", seconds)
    async with single_statement(engine) as connection:
        return lease, await queue.claim(connection, lease, limit)


async def _retry_or_bury(
    engine: AsyncEngine, lease: Lease, job: ClaimedJob, error: str = "broken"
) -> str | None:
    async with single_statement(engine) as connection:
        return await queue.retry_or_bury(connection, lease, job, error)


async def _expire_and_free(sql: Sql) -> None:
    """As the rescue does, without its jitter."""
    await sql.execute(
        "UPDATE recon_jobs SET status = 'pending', lease_token = NULL, locked_until = NULL,"
        " run_at = now() WHERE status = 'processing'"
    )


async def test_a_payment_never_gets_a_second_job(sql: Sql, database_url: str) -> None:
    stored = await add_simple(sql, 1)
    with pytest.raises(asyncpg.UniqueViolationError):
        await sql.execute("INSERT INTO recon_jobs (payment_id) VALUES ($1)", stored[0].id)


async def test_a_claim_behind_a_place_takes_what_comes_after_it_in_the_order_of_claiming(
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

    _, first = await _claim(engine, limit=1)
    _, second = await _claim(engine, limit=2)
    _, rest = await _claim(engine)

    assert [job.id for job in first] == [4]
    assert [job.id for job in second] == [3, 5]
    assert [job.id for job in rest] == [1]


async def test_a_claim_says_who_holds_the_job_until_when_and_what_its_payment_is(
    sql: Sql, engine: AsyncEngine
) -> None:
    [payment] = await add_simple(sql, 1)
    lease, [job] = await _claim(engine, seconds=60)

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


async def test_many_claimers_at_once_take_each_job_once(sql: Sql, engine: AsyncEngine) -> None:
    await add_simple(sql, 400)

    async def claim_until_none_is_left() -> list[int]:
        taken: list[int] = []
        while True:
            _, jobs = await _claim(engine, limit=7)
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
            _, jobs = await _claim(engine)
    assert [job.id for job in jobs] == [3, 4]


async def test_every_claim_has_a_token_of_its_own(sql: Sql, engine: AsyncEngine) -> None:
    await add_simple(sql, 1)
    first, _ = await _claim(engine)
    await _expire_and_free(sql)
    second, [job] = await _claim(engine)

    assert first.token != second.token
    assert job.attempts == 2


async def test_a_completion_after_the_job_was_claimed_again_rolls_its_work_back(
    sql: Sql, engine: AsyncEngine
) -> None:
    [payment] = await add_simple(sql, 1)
    late, [job] = await _claim(engine)
    await _expire_and_free(sql)
    current, _ = await _claim(engine)

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
    lease, jobs = await _claim(engine)
    await sql.execute("UPDATE recon_jobs SET lease_token = gen_random_uuid() WHERE id = 2")

    with pytest.raises(LeaseLost):
        async with transaction(engine) as tx:
            await queue.complete(tx, lease, [job.id for job in jobs])
    assert await status_counts(sql) == {"processing": 3}
    async with single_statement(engine) as connection:
        assert await queue.held_ids(connection, lease, [1, 2, 3]) == {1, 3}


async def test_a_completed_job_is_not_completed_again(sql: Sql, engine: AsyncEngine) -> None:
    await add_simple(sql, 1)
    lease, [job] = await _claim(engine)
    async with transaction(engine) as tx:
        await queue.complete(tx, lease, [job.id])
    with pytest.raises(LeaseLost):
        async with transaction(engine) as tx:
            await queue.complete(tx, lease, [job.id])


async def test_renewal_prolongs_what_is_held_and_nothing_else(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 3)
    lease, jobs = await _claim(engine, seconds=1)
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
    lease, jobs = await _claim(engine)
    async with transaction(engine) as tx:
        await queue.complete(tx, lease, [1])
        async with asyncio.timeout(1), single_statement(engine) as connection:
            assert await queue.renew(connection, lease, [job.id for job in jobs]) == 1


async def test_a_job_handed_back_is_claimable_at_once_with_all_its_attempts(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 2)
    lease, _ = await _claim(engine)
    stranger = queue.new_lease("stranger", 1)
    async with single_statement(engine) as connection:
        assert await queue.hand_back(connection, stranger, [1, 2]) == 0
        assert await queue.hand_back(connection, lease, [1, 2]) == 2
    assert [job["attempts"] for job in await job_rows(sql)] == [0, 0]
    _, jobs = await _claim(engine)
    assert [job.attempts for job in jobs] == [1, 1]


async def test_leases_are_handed_back_whole_without_a_word_of_what_they_took(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 5)
    claims = [await _claim(engine, 1) for _ in range(4)]
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


async def test_a_failed_job_waits_for_its_backoff_with_its_error(
    sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_simple(sql, 1)
    lease, [job] = await _claim(engine)
    monkeypatch.setattr(queue, "backoff_seconds", lambda attempts: 60.0 * attempts)

    assert await _retry_or_bury(engine, lease, job, "no luck") == "pending"

    [row] = await job_rows(sql)
    assert row["last_error"] == "no luck"
    assert (row["run_at"] - row["updated_at"]).total_seconds() == 60
    assert (await _claim(engine))[1] == []


async def test_a_job_is_dead_after_its_last_attempt_and_keeps_its_error(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 1)
    await sql.execute("UPDATE recon_jobs SET max_attempts = 3")
    ends = []
    for attempt in range(1, 4):
        await sql.execute("UPDATE recon_jobs SET run_at = now()")
        lease, [job] = await _claim(engine)
        ends.append(await _retry_or_bury(engine, lease, job, f"attempt {attempt}"))

    assert ends == ["pending", "pending", "failed"]
    [row] = await job_rows(sql)
    assert (row["status"], row["last_error"], row["attempts"]) == ("failed", "attempt 3", 3)
    assert (await _claim(engine))[1] == []


async def test_a_failure_reported_after_the_lease_was_lost_changes_nothing(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 1)
    late, [job] = await _claim(engine)
    await _expire_and_free(sql)
    await _claim(engine)
    assert await _retry_or_bury(engine, late, job) is None
    assert await status_counts(sql) == {"processing": 1}


@pytest.mark.parametrize(
    ("error", "stored"),
    [
        ("a\0b", "ab"),
        ("\0", "failed without a message"),
        ("", "failed without a message"),
        ("x" * 100_000, "x" * queue.LAST_ERROR_MAX_CHARS),
        ("half a pair: \ud800", "half a pair: ?"),
        ("‘quoted’; DROP TABLE 💥", "‘quoted’; DROP TABLE 💥"),
    ],
    ids=["nul", "only nul", "empty", "huge", "surrogate", "unicode"],
)
async def test_any_error_text_can_be_recorded(
    sql: Sql, engine: AsyncEngine, error: str, stored: str
) -> None:
    await add_simple(sql, 1)
    lease, [job] = await _claim(engine)
    assert await _retry_or_bury(engine, lease, job, error) == "pending"
    assert (await job_rows(sql))[0]["last_error"] == stored


@given(attempts=st.integers(-5, 10**9), fraction=st.floats(0, 1, exclude_max=True))
def test_backoff_lies_between_nothing_and_its_limit(attempts: int, fraction: float) -> None:
    seconds = queue.backoff_seconds(attempts, random_fraction=fraction)
    assert 0 <= seconds <= queue.BACKOFF_SECONDS_MAX


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(0, 1), (1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (10**9, 300)]
)
def test_backoff_doubles_up_to_five_minutes(attempts: int, seconds: float) -> None:
    assert queue.backoff_seconds(attempts, random_fraction=1.0) == seconds
    assert queue.backoff_seconds(attempts, random_fraction=0.0) == 0


def test_backoff_is_spread_over_all_of_its_range() -> None:
    drawn = [queue.backoff_seconds(9) for _ in range(2000)]
    assert min(drawn) < 256 * 0.05
    assert max(drawn) > 256 * 0.95
    assert 256 * 0.4 < sum(drawn) / len(drawn) < 256 * 0.6
