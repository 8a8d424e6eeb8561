"""The planner's choices for prepared statements."""

from collections.abc import Collection, Mapping
from typing import Any

import asyncpg


async def whole_table_scans(
    connection: "asyncpg.Connection[Any]",
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
