"""What the tests of all guards ask: which constraint refuses a statement, and which there are."""

import asyncpg
import pytest

from testkit.database.sql import Sql


async def assert_refused(connection: Sql, statement: str, constraint: str) -> None:
    """Assert that the constraint refuses the statement, which leaves nothing behind."""
    transaction = connection.transaction()
    await transaction.start()
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await connection.execute(statement)
    await transaction.rollback()
    assert refused.value.constraint_name == constraint


async def constraints_of(sql: Sql, tables: str) -> set[str]:
    """Return the constraints of our tables whose names match the regular expression."""
    named = await sql.fetch(
        "SELECT conname FROM pg_constraint WHERE contype IN ('c', 'f', 'p', 'u')"
        " AND connamespace = 'public'::regnamespace AND conrelid <> 'alembic_version'::regclass"
        " AND conrelid::regclass::text ~ $1",
        tables,
    )
    return {row[0] for row in named}
