"""Kill real processes: no payment is lost, and none takes effect twice.

Each test ends with the ledger compared with a model of it, a full audit, and its seals.
"""

import asyncio
import random
import signal
from collections.abc import Callable, Iterator
from typing import TypeAlias

import asyncpg
import pytest

from payments_core.db.engine import create_engine
from payments_local.postgres import EmbeddedPostgres
from testkit.database.backlog import (
    Stored,
    add_payments,
    add_simple,
    job_rows,
    status_counts,
    until_completed,
)
from testkit.database.head_rows import held_head_row, until_a_transaction_waits
from testkit.database.sql import Sql
from testkit.model.ledger import assert_audit_is_clean, assert_ledger_is_of
from testkit.network.tcp_proxy import TcpProxy
from testkit.waiting import until
from testkit.worker.own_system import migrated_postgres, worker_url
from testkit.worker.worker_process import WorkerProcess

StartProcess: TypeAlias = Callable[..., WorkerProcess]


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[EmbeddedPostgres]:
    with migrated_postgres() as server:
        yield server


@pytest.fixture
async def stored(sql: Sql) -> list[Stored]:
    """Store forty payments of every outcome, on ten accounts."""
    amounts = ("1", "2.13", "0", "-3", "400")
    return await add_payments(sql, [(f"acc_{n % 10}", amounts[n % 5], "USD") for n in range(40)])


async def _until_held(sql: Sql) -> None:
    async def held() -> bool:
        return "processing" in await status_counts(sql)

    await until(held, 40)


async def test_another_worker_takes_the_jobs_of_a_worker_killed_before_commit(
    sql: Sql, stored: list[Stored], start_process: StartProcess
) -> None:
    async with held_head_row(sql, stored[0]):
        killed = start_process()
        await until_a_transaction_waits(sql)  # The worker is inside its posting transaction.
        assert await status_counts(sql) == {"processing": 40}
        killed.kill()
    assert await sql.fetchval("SELECT count(*) FROM ledger_entries") == 0

    start_process()
    await until_completed(sql, 40)
    assert {job["attempts"] for job in await job_rows(sql)} == {2}
    await assert_ledger_is_of(sql, stored)


async def test_a_worker_paused_beyond_its_lease_is_fenced_when_it_resumes(
    sql: Sql,
    postgres: EmbeddedPostgres,
    worker_url_of_database: str,
    start_process: StartProcess,
) -> None:
    line = TcpProxy(postgres.port)
    paused = start_process(
        worker_url_of_database.replace(str(postgres.port), str(line.port)),
        RECON_WORKER_POLL_ONLY="true",
    )
    await paused.until_ready()
    line.delay_answers(1.0)  # The worker is paused before the answer to its claim arrives.
    stored = await add_simple(sql, 40)
    await _until_held(sql)
    paused.send(signal.SIGSTOP)

    start_process()
    await until_completed(sql, 40)
    await assert_ledger_is_of(sql, stored)
    entries = await sql.fetch("SELECT * FROM ledger_entries ORDER BY id")

    line.mend()
    paused.send(signal.SIGCONT)

    async def fenced_off() -> bool:
        return await paused.finished("lease_lost") == 40

    await until(fenced_off)
    assert await paused.finished("completed") == 0
    assert await sql.fetch("SELECT * FROM ledger_entries ORDER BY id") == entries
    assert {job["attempts"] for job in await job_rows(sql)} == {2}
    await paused.stop()
    line.close()


async def test_a_backend_terminated_in_mid_batch_costs_no_payment_and_no_attempt(
    sql: Sql, stored: list[Stored], start_process: StartProcess
) -> None:
    async with held_head_row(sql, stored[0]):
        worker = start_process(RECON_WORKER_LEASE_SECONDS="60")
        await until_a_transaction_waits(sql)
        await sql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND pid IS NOT NULL"
        )
    # Well before the lease expires, because the worker hands the interrupted jobs back.
    await until_completed(sql, 40)
    assert {job["attempts"] for job in await job_rows(sql)} == {1}
    await assert_ledger_is_of(sql, stored)
    await worker.stop()


async def test_redelivering_the_job_of_a_settled_payment_changes_nothing(
    sql: Sql, stored: list[Stored], start_process: StartProcess
) -> None:
    start_process()
    await until_completed(sql, 40)
    tables = ("ledger_entries", "reconciliation_results", "accounts", "payments")
    before = [await sql.fetch(f"SELECT * FROM {table} ORDER BY 1") for table in tables]

    await sql.execute("UPDATE recon_jobs SET status = 'pending', run_at = now()")
    await until_completed(sql, 40)

    assert [await sql.fetch(f"SELECT * FROM {table} ORDER BY 1") for table in tables] == before
    await assert_ledger_is_of(sql, stored)


async def test_a_stopping_worker_finishes_the_jobs_it_holds(
    sql: Sql, stored: list[Stored], start_process: StartProcess
) -> None:
    async with held_head_row(sql, stored[0]):
        worker = start_process()
        await until_a_transaction_waits(sql)
        worker.send(signal.SIGTERM)
        await asyncio.sleep(0.3)
        assert worker.poll() is None
    await worker.stop()
    assert await status_counts(sql) == {"completed": 40}
    await assert_ledger_is_of(sql, stored)


async def test_a_worker_without_its_port_reports_it_and_claims_nothing(
    sql: Sql, stored: list[Stored], start_process: StartProcess
) -> None:
    running = start_process()
    await running.until_ready()
    await until_completed(sql, 40)
    await sql.execute("UPDATE recon_jobs SET status = 'pending', run_at = now()")
    second = start_process(RECON_WORKER_PORT=str(running.port))
    assert await asyncio.to_thread(second.wait, 30) == 1
    assert "cannot listen" in second.log.read_text()
    await until_completed(sql, 40)
    await assert_ledger_is_of(sql, stored)


async def test_repeatedly_killed_workers_settle_each_payment_once(
    sql: Sql, start_process: StartProcess
) -> None:
    chance = random.Random(1)
    stored = await add_simple(sql, 3000)
    options = {"RECON_WORKER_BATCH_SIZE": "25"}
    workers = [start_process(**options) for _ in range(2)]
    for _ in range(3):
        await _until_held(sql)
        await asyncio.sleep(chance.uniform(0, 0.3))
        workers.pop(0).kill()
        workers.append(start_process(**options))
        stored += await add_simple(sql, 500)
    await until_completed(sql, len(stored), seconds=60)
    await assert_ledger_is_of(sql, stored)


async def test_a_postgres_crash_loses_and_duplicates_nothing(
    own_postgres: EmbeddedPostgres, start_process: StartProcess
) -> None:
    server = own_postgres
    sql = await asyncpg.connect(server.url)
    options = {"RECON_WORKER_BATCH_SIZE": "20", "RECON_WORKER_LEASE_SECONDS": "60"}
    workers = [start_process(worker_url(server), **options) for _ in range(2)]
    for worker in workers:
        await worker.until_ready()
    stored = await add_simple(sql, 3000)

    async def begun() -> bool:
        return (await status_counts(sql)).get("completed", 0) > 200

    await until(begun)
    server.crash()
    await sql.close(timeout=1)
    server.start()
    sql = await asyncpg.connect(server.url)
    stored += await add_simple(sql, 500)
    await until_completed(sql, 3500)
    await assert_ledger_is_of(sql, stored)
    engine = create_engine(worker_url(server), application_name="test", pool_size=2)
    await assert_audit_is_clean(engine)
    await engine.dispose()
    await sql.close()
    for worker in workers:
        await worker.stop()
