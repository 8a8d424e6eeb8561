"""The worker survives every outage of Postgres without a restart."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from payments_local.postgres import EmbeddedPostgres
from testkit.database.backlog import add_simple, status_counts, until_completed
from testkit.database.sql import Sql
from testkit.model.ledger import assert_audit_is_clean
from testkit.waiting import until
from testkit.worker.own_system import migrated_postgres, running_worker, until_listening, worker_url


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[EmbeddedPostgres]:
    with migrated_postgres() as server:
        yield server


@asynccontextmanager
async def _connected(server: EmbeddedPostgres) -> AsyncIterator[Sql]:
    sql = await asyncpg.connect(server.url)
    try:
        yield sql
    finally:
        await sql.close(timeout=1)


@pytest.mark.parametrize("end", ["stop", "crash"])
async def test_a_restart_of_postgres_needs_no_restart_of_the_worker(
    own_postgres: EmbeddedPostgres, end: str
) -> None:
    async with _connected(own_postgres) as sql:
        before: int = await sql.fetchval("SELECT count(*) FROM payments")
        await add_simple(sql, 2000)
    async with running_worker(worker_url(own_postgres), batch_size=20, lease_seconds=60) as worker:
        async with _connected(own_postgres) as sql:

            async def begun() -> bool:
                return (await status_counts(sql)).get("completed", 0) > before

            await until(begun)
            getattr(own_postgres, end)()

        async def noticed() -> bool:
            return not worker.reachable

        await until(noticed)
        own_postgres.start()
        async with _connected(own_postgres) as sql:
            # All jobs are settled long before a lease expires.
            await until_completed(sql, before + 2000)
            await until_listening(worker)
            await assert_audit_is_clean(worker.engine)
            attempts = await sql.fetchval("SELECT max(attempts) FROM recon_jobs")
            assert attempts <= 2


async def test_a_database_that_a_restore_renames_is_no_error(
    own_postgres: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_worker(worker_url(own_postgres)) as worker:
        await until_listening(worker)
        elsewhere = own_postgres.url.replace("/payments", "/postgres")
        sql = await asyncpg.connect(elsewhere)
        await _end_sessions_and_rename(sql, "payments", "payments_renamed")

        async def noticed() -> bool:
            return not worker.reachable

        await until(noticed)
        await _end_sessions_and_rename(sql, "payments_renamed", "payments")
        await sql.close()
        await until_listening(worker)
    assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == []


async def _end_sessions_and_rename(sql: Sql, name: str, to: str) -> None:
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
    for _ in range(50):  # Pools connect again at once.
        await sql.execute(ended, name)
        try:
            await sql.execute(f"ALTER DATABASE {name} RENAME TO {to}")
        except asyncpg.ObjectInUseError:
            continue
        return
    raise AssertionError(f"{name} is always in use")


async def test_a_worker_may_start_before_its_database(own_postgres: EmbeddedPostgres) -> None:
    own_postgres.stop()
    async with running_worker(worker_url(own_postgres)) as worker:
        await asyncio.sleep(0.5)
        assert not worker.reachable
        own_postgres.start()
        await until_listening(worker)


async def test_a_worker_without_its_database_still_stops_in_time(
    own_postgres: EmbeddedPostgres,
) -> None:
    began = time.monotonic()
    async with running_worker(worker_url(own_postgres)) as worker:
        await until_listening(worker)
        own_postgres.stop()
        began = time.monotonic()
    assert time.monotonic() - began < 8
    own_postgres.start()
