"""The worker's loop: woken, polling, idle, and after errors."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.queue import jobs as queue
from payments_core.server.options import Lifecycle
from recon_worker.app import create_control_app
from recon_worker.reconciliation.reconcile import Reconciler
from recon_worker.worker import loop as worker_module
from testkit.database.backlog import add_simple, job_rows, status_counts, until_completed
from testkit.database.sql import Sql
from testkit.model.ledger import assert_ledger_is_of
from testkit.waiting import until
from testkit.worker.own_system import until_listening

StartWorker = Callable[..., Any]


FAST = {"poll_seconds_min": 0.02, "poll_seconds_max": 0.1}


async def test_a_notification_wakes_an_idle_worker_at_once(
    sql: Sql, start_worker: StartWorker
) -> None:
    worker = await start_worker(poll_seconds_min=60, poll_fallback_seconds=60)
    await until_listening(worker)
    await asyncio.sleep(0.2)
    await add_simple(sql, 3)
    await asyncio.sleep(0.3)
    assert await status_counts(sql) == {"pending": 3}
    await sql.execute(f"NOTIFY {queue.JOBS_CHANNEL}")
    await until_completed(sql, 3)


async def test_new_jobs_do_not_wait_for_the_end_of_a_backlog(
    sql: Sql, start_worker: StartWorker
) -> None:
    await add_simple(sql, 3000)
    await sql.execute(
        "UPDATE recon_jobs SET run_at = now() + interval '1 h' WHERE id IN (2999, 3000)"
    )
    await start_worker(batch_size=5, poll_fallback_seconds=60)

    async def begun() -> bool:
        return (await status_counts(sql)).get("completed", 0) > 50

    await until(begun)
    # A backlog that even a fast worker does not finish before both new jobs.
    await add_simple(sql, 3000)
    # One job of a transaction that began long ago and commits only now, and one urgent job.
    await sql.execute("UPDATE recon_jobs SET run_at = now() - interval '1 h' WHERE id = 2999")
    await sql.execute("UPDATE recon_jobs SET run_at = now(), priority = -1 WHERE id = 3000")

    async def both_done() -> bool:
        query = "SELECT count(*) FROM recon_jobs WHERE id IN (2999, 3000) AND status = 'completed'"
        return bool(await sql.fetchval(query) == 2)

    await until(both_done)
    behind = await sql.fetchval(
        "SELECT count(*) FROM recon_jobs WHERE status <> 'completed' OR updated_at >"
        " (SELECT max(updated_at) FROM recon_jobs WHERE id IN (2999, 3000))"
    )
    assert behind > 1000


async def test_a_worker_that_only_polls_needs_no_notification(
    sql: Sql, start_worker: StartWorker
) -> None:
    worker = await start_worker(poll_only=True, **FAST)
    await add_simple(sql, 3)
    await until_completed(sql, 3)
    assert not worker.polling.listening
    listeners = "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ 'listen'"
    assert await sql.fetchval(listeners) == 0


async def test_polling_slows_to_its_limit_and_at_once_while_listening(
    sql: Sql, start_worker: StartWorker
) -> None:
    del sql
    worker = await start_worker(poll_only=True, poll_seconds_min=0.05, poll_seconds_max=1)
    polls = [0.05]
    while len(polls) < 8:
        polls.append(worker.polling.next_interval(polls[-1]))
    assert polls == [0.05, 0.1, 0.2, 0.4, 0.8, 1, 1, 1]
    worker.polling.listening = True
    assert worker.polling.next_interval(0.05) == worker.settings.poll_fallback_seconds == 5


async def test_retried_jobs_are_claimed_when_due_without_a_notice(
    sql: Sql, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await start_worker(poll_fallback_seconds=60)
    await until_listening(worker)
    post = Reconciler.post

    async def fails_once(*_: Any) -> None:
        monkeypatch.setattr(Reconciler, "post", post)
        raise ValueError("not this time")

    monkeypatch.setattr(Reconciler, "post", fails_once)
    await add_simple(sql, 1)
    await sql.execute(f"NOTIFY {queue.JOBS_CHANNEL}")
    await until_completed(sql, 1)
    assert await sql.fetchval("SELECT attempts FROM recon_jobs") == 2


async def test_a_lost_listen_makes_the_worker_poll_again(
    sql: Sql, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payments_core.db.listen.RECONNECT_SECONDS_MIN", 5.0)
    worker = await start_worker(**FAST)
    await until_listening(worker)
    await sql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'recon-worker-listen'"
    )

    async def lost() -> bool:
        return not worker.polling.listening

    await until(lost)
    await add_simple(sql, 1)
    await until_completed(sql, 1)


async def test_an_idle_worker_sends_few_queries(start_worker: StartWorker) -> None:
    worker = await start_worker()
    await until_listening(worker)
    await asyncio.sleep(1)
    statements: list[str] = []

    def count(*arguments: Any) -> None:
        statements.append(arguments[2])

    event.listen(worker.engine.sync_engine, "before_cursor_execute", count)
    await asyncio.sleep(5)
    # At most two claims, three rescues and one heartbeat.
    assert 0 < len(statements) <= 7, statements


async def test_a_long_batch_keeps_its_lease_while_others_rescue(
    sql: Sql, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconcile = Reconciler.reconcile

    async def slowly(self: Reconciler, *arguments: Any) -> None:
        await asyncio.sleep(5)
        await reconcile(self, *arguments)

    monkeypatch.setattr(Reconciler, "reconcile", slowly)
    await add_simple(sql, 5)
    for _ in range(2):
        # Longer than a busy machine delays a renewal.
        await start_worker(lease_seconds=2, rescue_interval_seconds=0.1, **FAST)
    await until_completed(sql, 5)
    assert {job["attempts"] for job in await job_rows(sql)} == {1}


async def test_the_jobs_of_a_dead_worker_are_settled_by_another(
    sql: Sql, engine: AsyncEngine, start_worker: StartWorker
) -> None:
    stored = await add_simple(sql, 5)
    async with engine.connect() as connection:
        await queue.claim(connection, queue.new_lease("dead", 0.5), 5)
        await connection.commit()
    # No claim succeeds before the lease expires, and no rescue comes before its interval.
    await start_worker(rescue_interval_seconds=0.1)
    await until_completed(sql, 5)
    await assert_ledger_is_of(sql, stored)


async def test_a_lost_claim_answer_does_not_delay_its_jobs_until_expiry(
    sql: Sql, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, losses = queue.claim, iter([True])

    async def lose_one_answer(connection: AsyncConnection, *arguments: Any) -> Any:
        jobs: Any = await claim(connection, *arguments)
        if jobs and next(losses, False):
            await connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        return jobs

    monkeypatch.setattr(queue, "claim", lose_one_answer)
    await add_simple(sql, 5)
    await start_worker(lease_seconds=60, **FAST)
    await until_completed(sql, 5)
    assert next(losses, None) is None, "no answer was lost"
    assert {job["attempts"] for job in await job_rows(sql)} == {1}


async def test_an_unexpected_error_does_not_end_the_worker(
    sql: Sql, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, failures = queue.claim, iter([True, True])

    async def fail_twice(*arguments: Any) -> Any:
        if next(failures, False):
            raise RuntimeError("a bug")
        return await claim(*arguments)

    monkeypatch.setattr(queue, "claim", fail_twice)
    await add_simple(sql, 2)
    await start_worker(**FAST)
    await until_completed(sql, 2)


async def test_pruning_is_prompt_for_a_short_and_rare_for_a_long_retention(
    sql: Sql, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = 86_400.0
    assert [worker_module.prune_interval_seconds(kept) for kept in (0.01, 4, 120, day)] == [
        5.0,
        5.0,
        30.0,
        60.0,
    ]
    monkeypatch.setattr(worker_module, "PRUNE_INTERVAL_SECONDS_MIN", 0.05)
    await start_worker(retention_days=0.2 / day)
    await add_simple(sql, 5)
    await sql.execute(f"NOTIFY {queue.JOBS_CHANNEL}")

    async def settled_and_gone() -> bool:
        results = await sql.fetchval("SELECT count(*) FROM reconciliation_results")
        return results == 5 and not await status_counts(sql)

    await until(settled_and_gone, 5)


async def test_metrics_show_a_workers_liveness_and_settlements(
    sql: Sql, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "HEARTBEAT_SECONDS", 0.05)
    await add_simple(sql, 7)
    worker = await start_worker()

    async def shown() -> bool:
        return bool(await sql.fetchval("SELECT completed_total FROM workers") == 7)

    await until(shown)
    row = await sql.fetchrow("SELECT * FROM workers")
    assert row is not None
    assert (row["id"], row["version"]) == (worker.id, "test")
    done = await sql.fetch("SELECT sum(completed), sum(failed) FROM worker_throughput")
    assert [tuple(total) for total in done] == [(7, 0)]


async def test_readiness_follows_the_queue_and_fails_first_when_stopping(
    sql: Sql, start_worker: StartWorker
) -> None:
    del sql
    worker = await start_worker()
    lifecycle = Lifecycle()
    client = create_control_app(worker, lifecycle).test_client()
    worker.reachable = False
    assert (await client.get("/readyz")).status_code == 503

    async def ready() -> bool:
        status: int = (await client.get("/readyz")).status_code
        return status == 200

    await until(ready)
    lifecycle.stopping.set()
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/livez")).status_code == 200
