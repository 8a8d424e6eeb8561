"""A full disk during an upload: the sender learns why, and nothing of the file stays."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from quart import Quart

from payments_api.app import create_app
from payments_api.settings import ApiSettings
from testkit.camt_files import ACCOUNT
from testkit.chaos.system.database import Database, running_database, small_disk_problem

SOURCE = {"name": "bank-eur", "accountIdentifier": ACCOUNT, "currency": "EUR"}
TABLES = ("statement_files", "statement_file_chunks", "statement_uploads")
DATA = random.Random(1).randbytes(8_000_000)  # Not compressible.

pytestmark = pytest.mark.skipif(small_disk_problem() is not None, reason=str(small_disk_problem()))


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    """A migrated database on a small disk of its own."""
    async with running_database(durable=False, small_disk=True) as database:
        yield database


@pytest.fixture
async def app(database: Database) -> AsyncIterator[Quart]:
    """The API on that database."""
    url = database.server.url.replace("postgres@", "payments_api@")
    app = create_app(ApiSettings.model_validate({"auth": "off", "DATABASE_URL": url}))
    async with app.test_app():
        yield app


async def test_an_upload_to_a_full_disk_is_refused_whole_and_succeeds_once_there_is_space(
    app: Quart, database: Database
) -> None:
    client: Any = app.test_client()
    assert (await client.post("/sources", json=SOURCE)).status_code == 201
    ballast = await asyncio.to_thread(database.fill_disk)
    refused = await client.post("/statements?source=bank-eur", data=DATA)
    told = await refused.get_json()
    ballast.unlink()
    assert (refused.status_code, told["code"]) == (507, "storage_full")
    async with database.connection() as sql:
        for table in TABLES:
            assert await sql.fetchval(f"SELECT count(*) FROM {table}") == 0
    answer = await client.post("/statements?source=bank-eur", data=DATA)
    assert answer.status_code == 202
