"""Fixtures: initdb makes one data folder, and tests that only need one take a copy."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from payments_core.db.engine import create_engine
from payments_local.backup import archive
from payments_local.backup.create import create
from payments_local.backup.server import Database
from payments_local.data_folder import postgres_dir
from payments_local.ports import free_port
from payments_local.postgres import EmbeddedPostgres
from testkit.database.backlog import add_simple, until_completed
from testkit.database.ledgers.sealed import seal_all
from testkit.worker.own_system import (
    copy_data,
    migrated_postgres,
    running_worker,
    worker_url,
)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made-once")
    server = EmbeddedPostgres(postgres_dir(folder), free_port(), durable=False)
    server.start()
    server.stop()
    return folder


@pytest.fixture
def data_dir(made_once: Path, tmp_path: Path) -> Path:
    """Return a data folder as an earlier `make up` left it."""
    copy_data(made_once, tmp_path / "data")
    return tmp_path / "data"


PAYMENTS = 40
KEYS = "SELECT string_agg(idempotency_key, ' ' ORDER BY id) FROM payments"
RIGHTS = """
SELECT (SELECT string_agg(format('%s %s %s', grantee, table_name, privilege_type), ' '
        ORDER BY grantee, table_name, privilege_type) FROM information_schema.table_privileges
        WHERE table_schema = 'public'),
    (SELECT datacl::text FROM pg_database WHERE datname = current_database())"""


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    """A migrated server for one test."""
    with migrated_postgres() as running:
        yield running


@pytest.fixture(scope="module")
def settled() -> Iterator[EmbeddedPostgres]:
    """A server with settled and sealed payments, which no test changes."""
    with migrated_postgres() as server:
        asyncio.run(settle_payments(server))
        yield server


@pytest.fixture(scope="module")
def made(settled: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of them, which no test changes."""
    folder = tmp_path_factory.mktemp("100 % of it")  # Spaces and percent signs are allowed.
    return create(Database(settled.url), folder, keep=7).dump


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """A copy of the backup, to damage."""
    for path in (made, archive.manifest_of(made)):
        shutil.copy(path, tmp_path)
    return tmp_path / made.name


async def settle_payments(server: EmbeddedPostgres) -> None:
    sql = await asyncpg.connect(server.url)
    async with running_worker(worker_url(server)):
        await add_simple(sql, PAYMENTS)
        await until_completed(sql, PAYMENTS)
    engine = create_engine(server.url, application_name="sealing", pool_size=1)
    while not await seal_all(engine):  # noqa: ASYNC110 - a transaction elsewhere decides it.
        await asyncio.sleep(0.05)
    await engine.dispose()
    await sql.close()
