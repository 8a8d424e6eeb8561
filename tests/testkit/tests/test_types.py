"""The plugin that asks Postgres once for its own types: each connection decodes them."""

from decimal import Decimal

import asyncpg


async def test_each_connection_decodes_postgres_own_types_and_the_databases(
    database_url: str,
) -> None:
    for labels in (("low", "high"), ("few", "many")):
        connection = await asyncpg.connect(database_url)
        try:
            await connection.execute(f"CREATE TYPE size AS ENUM {labels}")
            numbers = await connection.fetchval("SELECT ARRAY[1.5, 2]::numeric[]")
            assert numbers == [Decimal("1.5"), Decimal(2)]
            assert await connection.fetchval("SELECT enum_range(NULL::size)") == list(labels)
        finally:
            await connection.execute("DROP TYPE size")
            await connection.close()
