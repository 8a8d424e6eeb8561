"""Sessions: an unusable one leaves the pool, together with all sessions opened before."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from unittest.mock import AsyncMock

import asyncpg
import pytest
import uvloop
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db import engine as engine_module
from payments_core.db.engine import (
    connect,
    create_engine,
    driver_connection,
    is_connection_lost,
    is_unavailable,
    single_statement,
    transaction,
)
from payments_core.db.sessions import DatabaseReadOnly, prove_writable
from testkit.database.sql import Sql
from testkit.waiting import until

POOL_SIZE = 4
# read_only_sql_transaction, admin_shutdown, crash_shutdown, cannot_connect_now
SESSION_OVER = ("25006", "57P01", "57P02", "57P03")
FAIL = "DO $$ BEGIN RAISE EXCEPTION 'as a server would' USING ERRCODE = '{}'; END $$"


async def _in_transaction(engine: AsyncEngine, statement: str) -> None:
    async with transaction(engine) as tx:
        await tx.exec_driver_sql(statement)


async def _fail_in_autocommit(engine: AsyncEngine, statement: str) -> None:
    async with single_statement(engine) as connection:
        await connection.exec_driver_sql(statement)


async def _fail_in_the_driver(engine: AsyncEngine, statement: str) -> None:
    async with driver_connection(engine) as connection:
        await connection.execute(statement)


@pytest.fixture
async def small_pool(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url, application_name="sessions", pool_size=POOL_SIZE)
    yield engine
    await engine.dispose()


async def _pids(engine: AsyncEngine) -> set[int]:
    """Return the backend pids of all the pool's sessions."""
    everyone_has_one = asyncio.Barrier(POOL_SIZE)

    async def pid() -> int:
        async with driver_connection(engine) as connection:
            await everyone_has_one.wait()
            return connection.get_server_pid()

    return set(await asyncio.gather(*(pid() for _ in range(POOL_SIZE))))


@pytest.mark.parametrize("sqlstate", [*SESSION_OVER, "P0001"])
@pytest.mark.parametrize("run", [_in_transaction, _fail_in_autocommit, _fail_in_the_driver])
async def test_an_error_that_ends_a_session_replaces_the_whole_pool(
    small_pool: AsyncEngine, sqlstate: str, run: Callable[..., Awaitable[None]]
) -> None:
    before = await _pids(small_pool)
    with pytest.raises((DBAPIError, asyncpg.PostgresError)) as caught:
        await run(small_pool, FAIL.format(sqlstate))
    over = sqlstate in SESSION_OVER
    assert (is_unavailable(caught.value), is_connection_lost(caught.value)) == (over, over)
    after = await _pids(small_pool)
    assert len(after) == POOL_SIZE
    assert (not after & before) if over else after == before


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InternalClientError("cannot switch to state 12; another operation is in progress"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.InterfaceError("connection is closed"),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("run", [_in_transaction, _fail_in_autocommit, _fail_in_the_driver])
async def test_a_server_that_goes_during_a_connect_is_unavailable(
    small_pool: AsyncEngine,
    error: Exception,
    run: Callable[..., Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "connect_to_primary", AsyncMock(side_effect=error))
    with pytest.raises((DBAPIError, type(error))) as caught:
        await run(small_pool, "SELECT 1")
    assert is_unavailable(caught.value)


async def test_sessions_closed_by_the_server_are_replaced_silently(
    small_pool: AsyncEngine, sql: Sql
) -> None:
    before = await _pids(small_pool)
    terminate = "SELECT pg_terminate_backend(pid, 1000) FROM unnest($1::int[]) AS pid"
    assert await sql.fetch(terminate, list(before)) == [(True,)] * POOL_SIZE
    await asyncio.sleep(0.1)
    assert not await _pids(small_pool) & before


async def test_readiness_detects_a_pooler_with_a_demoted_server(
    small_pool: AsyncEngine,
) -> None:
    before = await _pids(small_pool)

    async def prove(first: str) -> None:
        async with transaction(small_pool) as tx:
            await tx.exec_driver_sql(first)
            await prove_writable(tx)

    await prove("SELECT 1")
    with pytest.raises(DatabaseReadOnly):
        # Set only in this transaction, so that the server reports no change, as behind a pooler.
        await prove("SET TRANSACTION READ ONLY")
    assert not await _pids(small_pool) & before


async def test_a_session_whose_role_changes_while_it_is_idle_is_replaced(
    small_pool: AsyncEngine,
) -> None:
    before = await _pids(small_pool)
    async with driver_connection(small_pool) as connection:
        changed = connection.get_server_pid()
        await connection.execute("SET default_transaction_read_only = on")
    after = await _pids(small_pool)
    assert after & before == before - {changed}


async def test_a_read_only_server_is_rejected_on_connect(database_url: str) -> None:
    url = f"{database_url}?options=-c%20default_transaction_read_only%3Don"
    engine = create_engine(url, application_name="sessions", pool_size=1)
    with pytest.raises(DatabaseReadOnly) as caught:
        await _fail_in_autocommit(engine, "SELECT 1")
    assert is_unavailable(caught.value)
    await engine.dispose()


async def test_a_commit_is_durable_despite_the_roles_settings(database_url: str) -> None:
    url = database_url.replace("postgres@", "payments_worker@")
    role = await asyncpg.connect(url)
    try:
        for value, wanted in (("off", "on"), ("remote_apply", "remote_apply")):
            await role.execute(f"ALTER ROLE CURRENT_USER SET synchronous_commit = {value}")
            engine = create_engine(url, application_name="sessions", pool_size=1)
            async with driver_connection(engine) as connection:
                assert await connection.fetchval("SHOW synchronous_commit") == wanted
            await engine.dispose()
    finally:
        await role.execute("ALTER ROLE CURRENT_USER RESET ALL")
        await role.close()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_connection_that_the_server_closes_at_once_is_a_lost_connection(
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    connect_of_asyncpg = asyncpg.connect

    async def connect_and_lose(*arguments: Any, **options: Any) -> Sql:
        connection: asyncpg.Connection[Any] = await connect_of_asyncpg(*arguments, **options)
        by = await connect_of_asyncpg(*arguments, **options)
        await by.execute(f"SELECT pg_terminate_backend({connection.get_server_pid()})")
        await by.close()

        async def closed() -> bool:
            return bool(connection.is_closed())

        await until(closed)
        return connection

    monkeypatch.setattr(asyncpg, "connect", connect_and_lose)
    with (
        pytest.raises(asyncpg.ConnectionDoesNotExistError),
        asyncio.Runner(loop_factory=loop) as on,
    ):
        on.run(connect(database_url))
