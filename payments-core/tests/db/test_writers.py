"""Which sessions an append-only table waits for."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import create_engine, single_statement
from payments_core.db.writers import have_ended, open_writers
from testkit.database.sql import Sql

TABLES = ("reconciliation_results", "ledger_entries")
# The lock of a writer, without a row and before any check of privileges.
PREPARED = (
    "BEGIN; PREPARE entry AS"
    " INSERT INTO ledger_entries (payment_id) SELECT gen_random_uuid() WHERE false"
)


@pytest.fixture
async def api(api_url_of_database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(api_url_of_database, application_name="test", pool_size=1)
    yield engine
    await engine.dispose()


async def _is_waited_for(api: AsyncEngine, url: str, *statements: str) -> bool:
    """Return whether a session of this role holds up the readers, by these statements."""
    session = await asyncpg.connect(url)
    try:
        for statement in statements:
            await session.execute(statement)
        async with single_statement(api) as connection:
            writers = await open_writers(connection, TABLES)
            ended = await have_ended(connection, TABLES, writers)
    finally:
        await session.close()
    assert ended == (not writers)
    return bool(writers)


@pytest.mark.parametrize("role", ["payments_readonly", "payments_backup", "payments_api"])
async def test_a_session_that_cannot_insert_holds_up_no_reader(
    api: AsyncEngine, database_url: str, role: str
) -> None:
    url = database_url.replace("postgres@", f"{role}@")
    assert not await _is_waited_for(api, url, PREPARED)


async def test_a_session_that_can_insert_is_waited_for(api: AsyncEngine, database_url: str) -> None:
    worker = database_url.replace("postgres@", "payments_worker@")
    assert await _is_waited_for(api, worker, PREPARED)
    assert await _is_waited_for(api, database_url, PREPARED)
    # Its session can act as another role, or has acted as one before.
    assert await _is_waited_for(api, database_url, "SET ROLE payments_readonly", PREPARED)
    results = PREPARED.replace("ledger_entries", "reconciliation_results")
    assert await _is_waited_for(api, database_url.replace("postgres@", "payments_api@"), results)


async def test_a_member_of_a_role_that_inserts_is_waited_for(
    api: AsyncEngine, database_url: str, sql: Sql
) -> None:
    await sql.execute("CREATE ROLE own_dba LOGIN NOINHERIT IN ROLE payments_worker")
    try:
        url = database_url.replace("postgres@", "own_dba@")
        assert await _is_waited_for(api, url, "SET ROLE payments_worker", PREPARED)
    finally:
        await sql.execute("DROP ROLE own_dba")
