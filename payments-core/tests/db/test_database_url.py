"""DATABASE_URL may say what libpq's URLs say."""

import asyncpg
import pytest

from payments_core.db.engine import create_engine, single_statement


@pytest.mark.parametrize("query", ["", "?sslmode=disable", "?sslmode=prefer"])
async def test_the_url_may_name_an_sslmode(database_url: str, query: str) -> None:
    engine = create_engine(database_url + query, application_name="url", pool_size=1)
    async with single_statement(engine) as connection:
        name = (await connection.exec_driver_sql("SHOW application_name")).scalar()
    await engine.dispose()
    assert name == "url"


async def test_a_server_without_tls_is_refused_where_the_url_asks_for_it(
    database_url: str,
) -> None:
    engine = create_engine(f"{database_url}?sslmode=require", application_name="url", pool_size=1)
    with pytest.raises((ConnectionError, asyncpg.InterfaceError)):
        async with single_statement(engine):
            pass
    await engine.dispose()
