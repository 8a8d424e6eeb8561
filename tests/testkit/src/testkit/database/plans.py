"""The planner's choices for prepared statements, and the blocks that reads cost."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sized
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import create_engine, single_statement
from testkit.database.sql import Sql

Read = Callable[[AsyncConnection], Awaitable[Sized]]


async def forget_statistics(sql: Sql, tables: Collection[str]) -> None:
    """Leave the planner with what it knows of new tables, whatever earlier tests left behind.

    A table whose pages were vacuumed while they had no row is taken for empty ever after.
    """
    await sql.execute(
        "DELETE FROM pg_statistic WHERE starelid = ANY ($1::text[]::regclass[])", list(tables)
    )
    await sql.execute(
        "UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE oid IN ("
        "SELECT unnest($1::text[]::regclass[]) UNION ALL"
        " SELECT indexrelid FROM pg_index WHERE indrelid = ANY ($1::text[]::regclass[]))",
        list(tables),
    )


async def whole_table_scans(
    connection: Sql,
    statements: Mapping[str, tuple[str, str]],
    tables: Collection[str],
) -> dict[str, str]:
    """Return the plans of those statements that read one of the tables whole, by name.

    A statement is its text with its arguments as EXECUTE takes them.
    """
    found = {}
    for name, (statement, arguments) in statements.items():
        await connection.execute(f"PREPARE statement AS {statement}")
        execute = f"EXECUTE statement({arguments})" if arguments else "EXECUTE statement"
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {execute}"))
        await connection.execute("DEALLOCATE statement")
        if any(f"Seq Scan on {table}" in plan for table in tables):
            found[name] = plan
    return found


async def blocks_read(url: str, read: Read) -> tuple[int, int]:
    """Return the number of rows of `await read(connection)`, and of blocks its statements read.

    Each statement is run again as text, in a session with the services' settings.
    """
    blocks = 0
    engine = create_engine(url, application_name="test", pool_size=1)
    ran: list[tuple[str, tuple[Any, ...]]] = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def remember(_c: Any, _cursor: Any, text: str, values: Any, *_: Any) -> None:
        ran.append((text, values))

    try:
        async with single_statement(engine) as connection:
            rows = await read(connection)
            for number, (text, values) in enumerate(list(ran)):
                await connection.exec_driver_sql(f"PREPARE page_{number} AS {text}")
                given = ", ".join(_literal(value) for value in values)
                execute = f"EXECUTE page_{number}" + (f"({given})" if values else "")
                explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) {execute}"
                (plan,) = (await connection.exec_driver_sql(explain)).scalar_one()
                blocks += plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
    finally:
        await engine.dispose()
    return len(rows), blocks


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    return f"ARRAY{value}" if isinstance(value, list) else f"'{value}'"
