"""A sealed ledger, and the findings about it."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from recon_worker.sealing.compare import SealFinding
from testkit.database.ledgers.sealed import (
    add_entries,
    leave_gap,
    seal_all,
)
from testkit.database.sql import Sql


def named(findings: list[SealFinding]) -> list[tuple[str, int, int | None]]:
    return [(found.kind, found.seq, found.entry_id) for found in findings]


@pytest.fixture
async def sealed(sql: Sql, engine: AsyncEngine) -> None:
    """Create twelve entries in four seals of three; ids 4 to 6 and 16 to 20 are unused."""
    for number in range(4):
        await add_entries(sql, 3)
        await seal_all(engine)
        if number == 0:
            await leave_gap(sql, 3)
    await leave_gap(sql, 5)


@pytest.fixture
async def other(database_url: str, sql: Sql) -> AsyncIterator[Sql]:
    """Open a second connection, for concurrent postings."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET session_replication_role = replica")
    yield connection
    await connection.close()
