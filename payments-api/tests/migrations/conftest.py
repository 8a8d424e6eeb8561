"""A separate database for one test."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from payments_local.postgres import EmbeddedPostgres


@pytest.fixture
async def empty_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """Return the superuser's URL of an empty database for one test."""
    server = await asyncpg.connect(postgres.url)
    await server.execute("CREATE DATABASE migrations")
    yield urlsplit(postgres.url)._replace(path="/migrations").geturl()
    await server.execute("DROP DATABASE migrations WITH (FORCE)")
    await server.close()
