"""A stopping worker: it finishes or hands back its jobs, and ends at once when idle."""

import asyncio
import time

from sqlalchemy.ext.asyncio import AsyncEngine

from testkit.database.backlog import add_simple, job_rows, status_counts, until_completed
from testkit.database.head_rows import held_head_row, until_a_transaction_waits
from testkit.database.sql import Sql
from testkit.model.ledger import assert_audit_is_clean, assert_ledger_is_of
from testkit.waiting import until
from testkit.worker.own_system import running_worker, until_listening


async def test_a_stop_finishes_the_batch_and_holds_no_lease(
    sql: Sql, engine: AsyncEngine, worker_url_of_database: str
) -> None:
    stored = await add_simple(sql, 3000)
    async with running_worker(worker_url_of_database, batch_size=50, concurrency=3):

        async def begun() -> bool:
            return (await status_counts(sql)).get("completed", 0) > 0

        await until(begun)
    counts = await status_counts(sql)
    assert counts.keys() == {"completed", "pending"}, counts
    attempts = "SELECT DISTINCT attempts FROM recon_jobs WHERE status = 'pending'"
    assert [row[0] for row in await sql.fetch(attempts)] == [0]
    assert await sql.fetchval("SELECT count(*) FROM workers") == 0

    async with running_worker(worker_url_of_database):
        await until_completed(sql, 3000)
    await assert_ledger_is_of(sql, stored)
    await assert_audit_is_clean(engine)


async def test_an_idle_worker_stops_at_once_despite_a_long_poll(
    worker_url_of_database: str,
) -> None:
    began = time.monotonic()
    async with running_worker(
        worker_url_of_database, concurrency=4, poll_seconds_min=60, poll_fallback_seconds=60
    ) as worker:
        await until_listening(worker)
        await asyncio.sleep(0.5)  # By now the lanes have found no job, and wait.
    assert time.monotonic() - began < 3


async def test_a_slow_drain_hands_jobs_back_without_losing_attempts(
    sql: Sql, worker_url_of_database: str
) -> None:
    stored = await add_simple(sql, 5)
    async with held_head_row(sql, stored[0]):
        async with running_worker(worker_url_of_database, drain_seconds=0.2):
            await until_a_transaction_waits(sql)
            began = time.monotonic()
        assert time.monotonic() - began < 3
    assert {(job["status"], job["attempts"]) for job in await job_rows(sql)} == {("pending", 0)}


async def test_readers_are_notified_of_the_last_batch_before_the_worker_ends(
    sql: Sql, worker_url_of_database: str
) -> None:
    told: set[str] = set()
    await sql.add_listener(
        "payment_changes", lambda *arguments: told.update(str(arguments[3]).split())
    )
    stored = await add_simple(sql, 1)
    async with running_worker(worker_url_of_database) as worker, held_head_row(sql, stored[0]):
        await until_a_transaction_waits(sql)
        worker.lifecycle.stopping.set()

    async def heard() -> bool:
        return told == {str(stored[0].id)}

    await until(heard, 2)
