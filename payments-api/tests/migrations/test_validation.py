"""`migrate` validates constraints that a revision adds NOT VALID while payments are written."""

from typing import Any

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from payments_api.migrate import migrate
from testkit.database.backlog import add_simple
from testkit.database.sql import Sql

UNVALIDATED = """
ALTER TABLE payments DROP CONSTRAINT source_is_a_name;
ALTER TABLE payments ADD CONSTRAINT source_is_a_name CHECK (source <> '{forbidden}') NOT VALID"""
NOT_VALID = "SELECT conname FROM pg_constraint WHERE NOT convalidated"


@pytest.fixture
async def database(empty_url: str) -> Any:
    """A migrated database with one payment, and the superuser's connection to it."""
    await migrate(empty_url)
    connection = await asyncpg.connect(empty_url)
    await add_simple(connection, 1)
    yield connection
    await connection.close()


async def test_every_constraint_is_valid_after_a_migration(database: Sql) -> None:
    assert await database.fetch(NOT_VALID) == []


async def test_validation_neither_waits_for_payments_nor_blocks_them(
    database: Sql, empty_url: str
) -> None:
    await database.execute(UNVALIDATED.format(forbidden="nothing has it"))
    async with database.transaction():  # A payment's transaction stays open.
        await database.execute("UPDATE payments SET updated_at = now()")
        await migrate(empty_url)
        assert await database.fetch(NOT_VALID) == []
        await database.execute("UPDATE payments SET updated_at = now()")


async def test_a_row_that_violates_a_constraint_is_an_error_that_names_it(
    database: Sql, empty_url: str
) -> None:
    await database.execute(UNVALIDATED.format(forbidden="default"))
    with pytest.raises(DBAPIError, match="source_is_a_name"):
        await migrate(empty_url)
