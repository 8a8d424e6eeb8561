"""Fixtures that tests of several packages share: one real Postgres, clean for each test."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import hypothesis
import pytest
from quart import Quart
from quart.typing import TestClientProtocol
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api.app import create_app
from payments_api.migrate import migrate
from payments_api.settings import ApiSettings
from payments_core.db.engine import create_engine
from payments_core.server.options import Lifecycle
from payments_local.postgres import EmbeddedPostgres, running_postgres
from recon_worker.settings import WorkerSettings
from recon_worker.worker.loop import Worker
from testkit.database.sql import Sql

PLUGINS = ("groups", "ids", "leaks", "parameters", "routes", "types")
pytest_plugins = [f"testkit.plugins.{name}" for name in PLUGINS]

# Not the time of one example: on a busy machine it says nothing. pytest bounds each test.
hypothesis.settings.register_profile("payments", deadline=None)
hypothesis.settings.load_profile("payments")

# A shell makes a run in the background ignore SIGINT, which tests send to their children.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests that call make must not inherit the variables that `make test ARGS=...` was given.
for variable in ("ARGS", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
    os.environ.pop(variable, None)

DATA_TABLES = (
    "ledger_entries",
    "reconciliation_results",
    "recon_jobs",
    "operator_actions",
    "payments",
    "accounts",
    "reversals",
    "reversal_totals",
    "workers",
    "worker_throughput",
    "audit_findings",
    "audit_progress",
    "api_keys",
    "ledger_seals",
    "seal_verification",
    "job_deaths",
    "recon_breaks",
    "recon_adjustments",
    "match_legs",
    "recon_matches",
    "recon_runs",
    "open_entries",
    "recon_days",
    "recon_cuts",
    "statement_lines",
    "statements",
    "statement_file_chunks",
    "statement_files",
    "statement_uploads",
    "statement_staging",
    "recon_sources",
    "webhook_attempts",
    "webhook_deliveries",
    "webhook_secrets",
    "webhook_disablings",
    "webhook_endpoints",
)
NUMBERED_TABLES = (*DATA_TABLES[:4], "recon_matches", "recon_runs", "statement_lines")

# The guards that keep history are told to look away: this is a test's database. For a handful of
# rows DELETE takes a tenth of TRUNCATE's time, which makes every file of the table anew.
EMPTY = f"""
SET session_replication_role = replica;
DO $$ BEGIN
    IF pg_relation_size('payments') > 1000000 THEN
        TRUNCATE {", ".join(DATA_TABLES)};
    ELSE
        {"; ".join(f"DELETE FROM {table}" for table in DATA_TABLES)};
    END IF;
    DELETE FROM recon_rule_sets WHERE version > 1;
    UPDATE webhook_cursor SET position = 0;
    {"; ".join(f"PERFORM setval('{table}_id_seq', 1, false)" for table in NUMBERED_TABLES)};
END $$;
INSERT INTO audit_progress DEFAULT VALUES;
INSERT INTO seal_verification DEFAULT VALUES;
SET session_replication_role = DEFAULT"""


LOG_END = "SELECT pg_current_wal_insert_lsn()"


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A throw-away server; its database `payments` is empty."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_url(postgres: EmbeddedPostgres) -> str:
    """The superuser's URL of the database `payments` at the schema's head."""
    asyncio.run(migrate(postgres.url))
    return postgres.url


class Emptier:
    """Empties a database on a connection of its own, on which Postgres plans EMPTY only once."""

    def __init__(self, url: str) -> None:
        self._url, self._loop = url, asyncio.new_event_loop()
        self._connection: Sql | None = None
        self._emptied_at: object = None  # The end of the log of changes.

    def empty(self) -> None:
        """Empty all tables; connect again if a test has ended the connection."""
        self._loop.run_until_complete(self._empty())

    async def _empty(self) -> None:
        if self._connection is not None:
            try:
                await self._empty_on(self._connection)
                return
            except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError):
                self._connection.terminate()
        self._connection = await asyncpg.connect(self._url)
        await self._empty_on(self._connection)

    async def _empty_on(self, connection: Sql) -> None:
        """Empty the tables unless the server has logged no change since they were emptied."""
        if await connection.fetchval(LOG_END) != self._emptied_at:
            await connection.execute(EMPTY)
            self._emptied_at = await connection.fetchval(LOG_END)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.terminate()
            self._loop.run_until_complete(asyncio.sleep(0))  # The socket closes in the loop's turn.
        self._loop.close()


@pytest.fixture(scope="session")
def emptier(migrated_url: str) -> Iterator[Emptier]:
    """The connection that empties the migrated database before each test."""
    emptier = Emptier(migrated_url)
    yield emptier
    emptier.close()


@pytest.fixture
def emptied_url(migrated_url: str, emptier: Emptier) -> str:
    """The superuser's URL of the migrated database, all of whose tables are empty."""
    emptier.empty()
    return migrated_url


@pytest.fixture
async def sql(emptied_url: str) -> AsyncIterator[Sql]:
    """A superuser's connection to the migrated database, all of whose tables are empty."""
    connection = await asyncpg.connect(emptied_url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def database_url(emptied_url: str) -> str:
    """The migrated, empty database, as the superuser."""
    return emptied_url


@pytest.fixture
def api_url_of_database(database_url: str) -> str:
    """The same database, as the API's own role."""
    return database_url.replace("postgres@", "payments_api@")


@pytest.fixture
def worker_url_of_database(database_url: str) -> str:
    """The same database, as the worker's own role."""
    return database_url.replace("postgres@", "payments_worker@")


@pytest.fixture
async def engine(worker_url_of_database: str) -> AsyncIterator[AsyncEngine]:
    """An engine as the worker has it, with its role."""
    engine = create_engine(worker_url_of_database, application_name="test", pool_size=10)
    yield engine
    await engine.dispose()


@pytest.fixture
async def app(api_url_of_database: str) -> AsyncIterator[Quart]:
    """The API's app, its background work running, with the API's own role."""
    settings = ApiSettings.model_validate(
        {
            "auth": "off",
            "DATABASE_URL": api_url_of_database,
            "latency_target_seconds": 10,  # A busy machine is not an overloaded API.
        }
    )
    app = create_app(settings)
    async with app.test_app():
        yield app


@pytest.fixture
def client(app: Quart) -> TestClientProtocol:
    """A client of the running app."""
    return app.test_client()


@pytest.fixture
async def start_worker(
    worker_url_of_database: str,
) -> AsyncIterator[Callable[..., Any]]:
    """Starts workers in this process; `await start_worker(batch_size=1)` returns the Worker.

    Its keywords are WorkerSettings' fields. All are drained at the end.
    """
    async with AsyncExitStack() as stack:

        async def start(**options: object) -> Worker:
            settings = WorkerSettings.model_validate(
                {"DATABASE_URL": worker_url_of_database, "audit_interval_seconds": 0, **options}
            )
            engine = create_engine(
                worker_url_of_database, application_name="test-worker", pool_size=8
            )
            worker = Worker(settings, engine, worker_url_of_database, Lifecycle(), "test")
            running = asyncio.create_task(worker.run())

            async def stop() -> None:
                worker.lifecycle.stopping.set()
                await running
                await engine.dispose()

            stack.push_async_callback(stop)
            return worker

        yield start
