"""An empty database beside the one that each test empties."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import asyncpg


@contextmanager
def another_database(server_url: str, name: str, options: str = "") -> Iterator[str]:
    """Create an empty database, yield its superuser's URL, and drop it at the end.

    `options` are those of CREATE DATABASE.
    """
    asyncio.run(_run(server_url, f"CREATE DATABASE {name} {options}"))
    try:
        yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        asyncio.run(_run(server_url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _run(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()
