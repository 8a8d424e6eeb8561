"""Failed jobs: their error, their backoff, and their last attempt."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement
from payments_core.queue import jobs as queue
from payments_core.queue.jobs import ClaimedJob, Lease
from testkit.database.backlog import add_simple, job_rows, status_counts
from testkit.database.sql import Sql

from .conftest import claim_jobs, expire_and_free


async def _retry_or_bury(
    engine: AsyncEngine, lease: Lease, job: ClaimedJob, error: str = "broken"
) -> str | None:
    async with single_statement(engine) as connection:
        return await queue.retry_or_bury(connection, lease, job, error)


async def test_a_failed_job_waits_for_its_backoff_with_its_error(
    sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_simple(sql, 1)
    lease, [job] = await claim_jobs(engine)
    monkeypatch.setattr(queue, "backoff_seconds", lambda attempts, *_: 60.0 * attempts)

    assert await _retry_or_bury(engine, lease, job, "no luck") == "pending"

    [row] = await job_rows(sql)
    assert row["last_error"] == "no luck"
    assert (row["run_at"] - row["updated_at"]).total_seconds() == 60
    assert (await claim_jobs(engine))[1] == []


async def test_a_job_is_dead_after_its_last_attempt_and_keeps_its_error(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 1)
    await sql.execute("UPDATE recon_jobs SET max_attempts = 3")
    ends = []
    for attempt in range(1, 4):
        await sql.execute("UPDATE recon_jobs SET run_at = now()")
        lease, [job] = await claim_jobs(engine)
        ends.append(await _retry_or_bury(engine, lease, job, f"attempt {attempt}"))

    assert ends == ["pending", "pending", "failed"]
    [row] = await job_rows(sql)
    assert (row["status"], row["last_error"], row["attempts"]) == ("failed", "attempt 3", 3)
    assert (await claim_jobs(engine))[1] == []


async def test_a_failure_reported_after_the_lease_was_lost_changes_nothing(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 1)
    late, [job] = await claim_jobs(engine)
    await expire_and_free(sql)
    await claim_jobs(engine)
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
    lease, [job] = await claim_jobs(engine)
    assert await _retry_or_bury(engine, lease, job, error) == "pending"
    assert (await job_rows(sql))[0]["last_error"] == stored


def backoff(attempts: int) -> float:
    return queue.backoff_seconds(attempts, queue.BACKOFF_SECONDS_BASE, queue.BACKOFF_SECONDS_MAX)


@given(attempts=st.integers(-5, 10**9))
def test_backoff_lies_between_nothing_and_its_limit(attempts: int) -> None:
    assert 0 <= backoff(attempts) <= queue.BACKOFF_SECONDS_MAX


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(0, 1), (1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (10**9, 300)]
)
def test_backoff_doubles_up_to_five_minutes(
    attempts: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "random", lambda: 1.0)
    assert backoff(attempts) == seconds


def test_backoff_is_spread_over_its_whole_range() -> None:
    drawn = [backoff(9) for _ in range(2000)]
    assert min(drawn) < 256 * 0.05
    assert max(drawn) > 256 * 0.95
    assert 256 * 0.4 < sum(drawn) / len(drawn) < 256 * 0.6
