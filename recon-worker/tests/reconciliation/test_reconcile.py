"""Bisection: if one job of a batch fails in any way, the others settle."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db import engine as database
from payments_core.db.engine import create_engine, is_unavailable, single_statement
from payments_core.queue import jobs as queue
from payments_core.queue.jobs import ClaimedJob, Lease
from recon_worker.reconciliation import reconcile
from recon_worker.reconciliation.post import post_batch
from recon_worker.reconciliation.reconcile import BatchResult, Reconciler
from recon_worker.reconciliation.rules import decide
from testkit.database.backlog import Stored, add_payments, add_simple, job_rows, status_counts
from testkit.database.head_rows import held_head_row, until_a_transaction_waits
from testkit.database.sql import Sql
from testkit.model.ledger import assert_audit_is_clean, assert_ledger_is_of

SHARD = "00"

# Fails inside the posting's statement, for the payments of one account.
POISON = """
CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'poisoned payment'; END $$;
CREATE TRIGGER poison BEFORE UPDATE ON payments FOR EACH ROW
WHEN (NEW.account_id LIKE 'poison%') EXECUTE FUNCTION poison()"""


@pytest.fixture
async def poison(sql: Sql) -> AsyncIterator[None]:
    """Make postings fail for accounts whose name starts with "poison"."""
    await sql.execute(POISON)
    yield
    await sql.execute("DROP FUNCTION IF EXISTS poison() CASCADE")


async def _claim(engine: AsyncEngine, seconds: float = 60) -> tuple[Lease, list[ClaimedJob]]:
    lease = queue.new_lease("worker", seconds)
    async with single_statement(engine) as connection:
        return lease, await queue.claim(connection, lease, 1000)


async def _reconcile(
    engine: AsyncEngine, lease: Lease, jobs: list[ClaimedJob], **options: Any
) -> BatchResult:
    tally = BatchResult()
    await Reconciler(engine, SHARD, **options).reconcile(lease, jobs, tally)
    return tally


async def _add_poisoned(sql: Sql, count: int, poisoned: set[int]) -> list[Stored]:
    return await add_payments(
        sql,
        [("poison" if n in poisoned else f"acc_{n % 10}", "1.00", "USD") for n in range(count)],
    )


@pytest.mark.usefixtures("poison")
async def test_one_poisoned_job_of_500_is_retried_alone_and_the_others_settle(
    sql: Sql, engine: AsyncEngine
) -> None:
    stored = await _add_poisoned(sql, 500, {123})
    lease, jobs = await _claim(engine)
    tally = await _reconcile(engine, lease, jobs)

    assert (len(tally.settled), tally.retried, len(tally.dead), tally.lost) == (499, 1, 0, 0)
    assert await status_counts(sql) == {"completed": 499, "pending": 1}
    poisoned = (await job_rows(sql))[123]
    assert poisoned["status"] == "pending"
    assert "poisoned payment" in poisoned["last_error"]
    assert [job["attempts"] for job in await job_rows(sql)] == [1] * 500
    await sql.execute("DROP FUNCTION poison() CASCADE; UPDATE recon_jobs SET run_at = now()")
    await _reconcile(engine, *await _claim(engine))
    await assert_ledger_is_of(sql, stored)
    await assert_audit_is_clean(engine)


@pytest.mark.usefixtures("poison")
async def test_a_poisoned_job_is_dead_after_its_last_attempt(sql: Sql, engine: AsyncEngine) -> None:
    await _add_poisoned(sql, 4, {0, 3})
    await sql.execute("UPDATE recon_jobs SET max_attempts = 1")
    tally = await _reconcile(engine, *await _claim(engine))
    assert (len(tally.settled), len(tally.dead)) == (2, 2)
    # Open pages show which payments wait for an operator.
    assert len(set(tally.changed_payments())) == 4
    assert [job["status"] for job in await job_rows(sql)] == [
        "failed",
        "completed",
        "completed",
        "failed",
    ]


@pytest.mark.usefixtures("poison")
async def test_a_batch_of_only_poisoned_jobs_ends(sql: Sql, engine: AsyncEngine) -> None:
    await _add_poisoned(sql, 16, set(range(16)))
    tally = await _reconcile(engine, *await _claim(engine))
    assert (len(tally.settled), tally.retried) == (0, 16)


async def test_a_rule_that_raises_affects_only_its_own_payment(
    sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_payments(sql, [("a", str(n), "USD") for n in range(1, 9)])

    def raise_for_five(amount: Any) -> Any:
        if amount == 5:
            raise ValueError("five\0\ud800")
        return decide(amount)

    monkeypatch.setattr(reconcile, "decide", raise_for_five)
    tally = await _reconcile(engine, *await _claim(engine))
    assert (len(tally.settled), tally.retried) == (7, 1)
    assert (await job_rows(sql))[4]["last_error"] == "ValueError: five?"


async def test_jobs_whose_lease_was_lost_are_left_to_their_new_holder(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 10)
    lease, jobs = await _claim(engine)
    await sql.execute("UPDATE recon_jobs SET lease_token = gen_random_uuid() WHERE id <= 3")
    tally = await _reconcile(engine, lease, jobs)
    assert (len(tally.settled), tally.lost) == (7, 3)
    assert await status_counts(sql) == {"processing": 3, "completed": 7}


async def test_a_batch_lost_as_a_whole_settles_nothing(sql: Sql, engine: AsyncEngine) -> None:
    await add_simple(sql, 4)
    lease, jobs = await _claim(engine)
    await sql.execute("UPDATE recon_jobs SET lease_token = gen_random_uuid()")
    tally = await _reconcile(engine, lease, jobs)
    assert (len(tally.settled), tally.lost) == (0, 4)


async def test_a_payment_settled_after_the_claim_only_loses_its_job(
    sql: Sql, engine: AsyncEngine
) -> None:
    stored = await add_simple(sql, 8)
    lease, jobs = await _claim(engine)
    await sql.execute(
        "UPDATE payments SET status = 'failed', settled_at = now(), updated_at = now()"
        " WHERE id = $1",
        stored[4].id,
    )
    first = await _reconcile(engine, lease, jobs)
    assert (len(first.settled), first.handed_back, first.lost) == (7, 1, 0)

    second = await _reconcile(engine, *await _claim(engine))
    assert (len(second.settled), second.lost) == (0, 0)
    assert await status_counts(sql) == {"completed": 8}
    assert await sql.fetchval("SELECT count(*) FROM reconciliation_results") == 7


async def test_a_connection_lost_in_mid_batch_is_not_counted_against_the_jobs(
    sql: Sql, worker_url_of_database: str
) -> None:
    stored = await add_simple(sql, 20)
    engine = create_engine(worker_url_of_database, application_name="dies", pool_size=1)
    lease, jobs = await _claim(engine)
    async with held_head_row(sql, stored[0]):
        running = asyncio.create_task(_reconcile(engine, lease, jobs))
        await until_a_transaction_waits(sql)
        await sql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dies'"
        )
        with pytest.raises(Exception) as raised:  # noqa: PT011 - the assertion checks its kind
            await running
    assert is_unavailable(raised.value)
    assert await status_counts(sql) == {"processing": 20}

    tally = await _reconcile(engine, lease, jobs)  # The lease is still valid.
    assert len(tally.settled) == 20
    await assert_ledger_is_of(sql, stored)
    await engine.dispose()


async def test_a_locked_account_delays_only_its_own_payments(
    sql: Sql, worker_url_of_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_TIMEOUT_SECONDS", 0.1)
    engine = create_engine(worker_url_of_database, application_name="waits", pool_size=2)
    stored = await add_payments(sql, [(f"acc_{n}", "1", "USD") for n in range(32)])
    async with held_head_row(sql, stored[7]):
        tally = await _reconcile(engine, *await _claim(engine))
    assert (len(tally.settled), tally.retried) == (31, 1)
    assert "lock timeout" in (await job_rows(sql))[7]["last_error"]
    await engine.dispose()


async def test_contention_is_retried_before_a_batch_is_halved(
    sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_simple(sql, 4)
    sizes: list[int] = []

    async def deadlock_twice(tx: AsyncConnection, lease: Lease, decided: Any, _: str) -> None:
        sizes.append(len(decided))
        await post_batch(tx, lease, decided, SHARD)
        if len(sizes) < 3:
            await tx.exec_driver_sql("DO $$ BEGIN RAISE deadlock_detected; END $$")

    monkeypatch.setattr(reconcile, "post_batch", deadlock_twice)
    tally = await _reconcile(engine, *await _claim(engine))
    assert sizes == [4, 4, 4]
    assert len(tally.settled) == 4


@pytest.mark.usefixtures("poison")
async def test_a_stop_ends_a_long_bisection_and_hands_the_rest_back(
    sql: Sql, engine: AsyncEngine
) -> None:
    await _add_poisoned(sql, 8, {0})
    tally = await _reconcile(engine, *await _claim(engine), stopping=lambda: True)
    assert (len(tally.settled), tally.handed_back) == (0, 8)
    assert {(job["status"], job["attempts"]) for job in await job_rows(sql)} == {("pending", 0)}


@pytest.mark.usefixtures("poison")
async def test_a_failed_batch_renews_its_lease_before_it_is_halved(
    sql: Sql, engine: AsyncEngine
) -> None:
    await _add_poisoned(sql, 8, {0})
    lease, jobs = await _claim(engine)
    await sql.execute("UPDATE recon_jobs SET locked_until = now() - interval '1 s'")
    seen: list[int] = []

    class Watched(Reconciler):
        async def post(self, tx: AsyncConnection, lease: Lease, decided: Any) -> None:
            if seen or len(decided) < 8:
                expired = "status = 'processing' AND locked_until < now()"
                seen.append(await sql.fetchval(f"SELECT count(*) FROM recon_jobs WHERE {expired}"))
            await super().post(tx, lease, decided)

    await Watched(engine, SHARD).reconcile(lease, jobs, BatchResult())
    assert set(seen) == {0}
