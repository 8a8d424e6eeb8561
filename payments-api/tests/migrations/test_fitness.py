"""A database with other defaults works, or the migration rejects it in one line."""

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from alembic.util import CommandError

from payments_api.migrate import migrate
from payments_core.db.engine import create_engine, driver_connection, single_statement
from payments_local.postgres import EmbeddedPostgres
from testkit.database.another import another_database
from testkit.database.sql import Sql


@pytest.fixture
async def server(postgres: EmbeddedPostgres) -> AsyncIterator[Sql]:
    """Yield a superuser's connection to another database of the server."""
    sql = await asyncpg.connect(postgres.url)
    yield sql
    await sql.close()


@pytest.fixture
def other_url(postgres: EmbeddedPostgres, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of an empty database; a parameter holds its options."""
    with another_database(postgres.url, "other", getattr(request, "param", "")) as url:
        yield url


@pytest.mark.parametrize(
    ("other_url", "encoding"),
    [
        (f"ENCODING '{name}' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0", name)
        for name in ("LATIN1", "SQL_ASCII")
    ],
    indirect=["other_url"],
)
async def test_another_encoding_is_rejected(other_url: str, encoding: str) -> None:
    with pytest.raises(CommandError, match=f"encoding is {encoding}: create it with") as refusal:
        await migrate(other_url)
    assert "\n" not in str(refusal.value)


async def test_another_version_of_the_collation_is_rejected(server: Sql, other_url: str) -> None:
    await server.execute("UPDATE pg_database SET datcollversion = '0' WHERE datname = 'other'")
    with pytest.raises(CommandError, match=r"version 0 of its collation.* REINDEX") as refusal:
        await migrate(other_url)
    assert "\n" not in str(refusal.value)


async def test_a_database_with_rebuilt_indexes_is_accepted(server: Sql, other_url: str) -> None:
    await migrate(other_url)
    await server.execute("UPDATE pg_database SET datcollversion = '0' WHERE datname = 'other'")
    with pytest.raises(CommandError, match="REINDEX"):
        await migrate(other_url)
    other = await asyncpg.connect(other_url)
    await other.execute("REINDEX DATABASE CONCURRENTLY other")
    await other.execute("ALTER DATABASE other REFRESH COLLATION VERSION")
    await other.close()
    await migrate(other_url)


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_our_sessions_override_the_databases_defaults(
    server: Sql, other_url: str, isolation: str
) -> None:
    for name, value in (
        ("default_transaction_isolation", isolation),
        ("datestyle", "German"),
        ("timezone", "Asia/Tokyo"),
        ("lock_timeout", "0"),
    ):
        await server.execute(f"ALTER DATABASE other SET {name} = '{value}'")
    await migrate(other_url)
    engine = create_engine(other_url, application_name="fitness", pool_size=1)
    try:
        async with driver_connection(engine) as connection:
            assert await connection.fetchval("SHOW transaction_isolation") == "read committed"
        async with single_statement(engine) as tx:
            shown = "SELECT current_setting('transaction_isolation'), '2026-01-31'::date::text"
            row = (await tx.exec_driver_sql(shown)).one()
        assert tuple(row) == ("read committed", "2026-01-31")
    finally:
        await engine.dispose()
