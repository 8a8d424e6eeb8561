"""Queue maintenance: rescue, pruning, and the queue's depth."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement
from payments_core.queue import jobs, maintenance
from testkit.database.backlog import add_simple, job_rows, status_counts
from testkit.database.sql import Sql


async def _claim_all_and_expire(sql: Sql, engine: AsyncEngine) -> None:
    async with single_statement(engine) as connection:
        await jobs.claim(connection, jobs.new_lease("worker-that-died", 60), 1000)
    await sql.execute("UPDATE recon_jobs SET locked_until = now() - interval '1 ms'")


async def _rescue(engine: AsyncEngine) -> tuple[int, int]:
    async with single_statement(engine) as connection:
        return await maintenance.rescue_expired(connection)


async def _prune(engine: AsyncEngine, retention_seconds: float) -> int:
    async with single_statement(engine) as connection:
        return await maintenance.prune_finished(connection, retention_seconds)


async def test_an_expired_job_is_freed_and_its_error_names_the_holder(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 2)
    await _claim_all_and_expire(sql, engine)

    assert await _rescue(engine) == (2, 0)

    for job in await job_rows(sql):
        assert job["status"] == "pending"
        assert job["attempts"] == 1
        assert job["last_error"] == "lease of worker worker-that-died expired"
        # The first attempt's backoff: full jitter over one second.
        assert 0 <= (job["run_at"] - job["updated_at"]).total_seconds() <= 1


async def test_a_held_job_is_not_rescued(sql: Sql, engine: AsyncEngine) -> None:
    await add_simple(sql, 1)
    async with single_statement(engine) as connection:
        await jobs.claim(connection, jobs.new_lease("worker", 60), 1)
    assert await _rescue(engine) == (0, 0)


async def test_a_job_that_is_being_completed_is_not_rescued(sql: Sql, engine: AsyncEngine) -> None:
    await add_simple(sql, 1)
    await _claim_all_and_expire(sql, engine)
    async with sql.transaction():
        await sql.execute("UPDATE recon_jobs SET priority = 1")
        assert await _rescue(engine) == (0, 0)


async def test_a_job_that_kills_its_worker_each_time_ends_as_a_dead_letter(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 1)
    await sql.execute("UPDATE recon_jobs SET attempts = max_attempts - 1")
    await _claim_all_and_expire(sql, engine)
    assert await _rescue(engine) == (0, 1)
    assert await status_counts(sql) == {"failed": 1}


async def test_one_sweep_frees_at_most_its_limit(
    sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_simple(sql, 5)
    await _claim_all_and_expire(sql, engine)
    bounded = maintenance.RESCUE.replace(f"LIMIT {maintenance.RESCUE_JOBS_MAX}", "LIMIT 3")
    monkeypatch.setattr(maintenance, "RESCUE", bounded)
    assert [await _rescue(engine), await _rescue(engine)] == [(3, 0), (2, 0)]


async def test_pruning_takes_old_finished_jobs_only(sql: Sql, engine: AsyncEngine) -> None:
    await add_simple(sql, 5)
    await sql.execute(
        "UPDATE recon_jobs SET updated_at = now() - interval '2 h', last_error = 'e', status ="
        " (ARRAY['completed', 'failed', 'pending', 'completed', 'completed'])[id]"
    )
    await sql.execute("UPDATE recon_jobs SET created_at = now() - interval '3 h'")
    await sql.execute("UPDATE recon_jobs SET updated_at = now() WHERE id = 5")

    assert await _prune(engine, retention_seconds=3600) == 2

    left = {job["id"]: job["status"] for job in await job_rows(sql)}
    assert left == {2: "failed", 3: "pending", 5: "completed"}


async def test_replayed_dead_letters_do_not_keep_younger_jobs_from_being_pruned(
    sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded = maintenance.PRUNE.replace(f"LIMIT {maintenance.PRUNE_JOBS_MAX}", "LIMIT 3")
    monkeypatch.setattr(maintenance, "PRUNE", bounded)
    await add_simple(sql, 20)
    # Jobs 1 to 10 were dead for hours and have just been replayed; 11 to 17 finished before that.
    await sql.execute(
        "UPDATE recon_jobs SET status = 'completed',"
        " created_at = CASE WHEN id < 18 THEN now() - interval '2 h' ELSE now() END,"
        " updated_at = CASE WHEN id BETWEEN 11 AND 17 THEN now() - interval '2 h' ELSE now() END"
    )
    assert [await _prune(engine, retention_seconds=3600) for _ in range(4)] == [3, 3, 1, 0]
    assert [job["id"] for job in await job_rows(sql)] == [*range(1, 11), 18, 19, 20]


@pytest.mark.parametrize("ids", [[1], [40], [1, 2], [1, 19, 40], [7, 8, 9, 30], [*range(1, 41)]])
async def test_pruning_finds_the_oldest_kept_job_across_any_gap(
    sql: Sql, engine: AsyncEngine, ids: list[int]
) -> None:
    await add_simple(sql, 40)
    await sql.execute("UPDATE recon_jobs SET status = 'completed'")
    await sql.execute("DELETE FROM recon_jobs WHERE NOT id = ANY ($1::bigint[])", ids)
    for last_old in range(41):
        await sql.execute(
            "UPDATE recon_jobs SET created_at = now() - interval '2 h',"
            " updated_at = now() - interval '2 h' WHERE id <= $1",
            last_old,
        )
        await _prune(engine, retention_seconds=3600)
        assert [job["id"] for job in await job_rows(sql)] == [n for n in ids if n > last_old]


async def test_concurrent_pruning_never_waits(sql: Sql, engine: AsyncEngine) -> None:
    await add_simple(sql, 3)
    await sql.execute(
        "UPDATE recon_jobs SET status = 'completed', created_at = now() - interval '3 h',"
        " updated_at = now() - interval '2 h'"
    )
    async with sql.transaction():
        await sql.execute("DELETE FROM recon_jobs WHERE id = 1")
        assert await _prune(engine, retention_seconds=3600) == 2


async def test_the_depth_counts_each_status_and_the_age_of_the_oldest_ready_job(
    sql: Sql, engine: AsyncEngine
) -> None:
    async with single_statement(engine) as connection:
        assert await maintenance.read_depth(connection) == maintenance.QueueDepth(0, 0, 0, None)
    await add_simple(sql, 6)
    await sql.execute("UPDATE recon_jobs SET run_at = now() - interval '90 s' WHERE id = 2")
    await sql.execute("UPDATE recon_jobs SET run_at = now() + interval '1 h' WHERE id = 3")
    await sql.execute("UPDATE recon_jobs SET status = 'failed', last_error = 'e' WHERE id = 4")
    await sql.execute("UPDATE recon_jobs SET status = 'completed' WHERE id > 4")

    async with single_statement(engine) as connection:
        depth = await maintenance.read_depth(connection)

    assert (depth.pending, depth.processing, depth.failed) == (3, 0, 1)
    assert depth.oldest_ready_age_seconds is not None
    assert 90 <= depth.oldest_ready_age_seconds < 100
