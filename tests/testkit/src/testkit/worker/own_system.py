"""A Postgres for one test, to be stopped and crashed, and a worker in this process on it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from payments_api.migrate import migrate
from payments_core.db.engine import create_engine
from payments_core.server.options import Lifecycle
from payments_local.postgres import EmbeddedPostgres, running_postgres
from recon_worker.settings import WorkerSettings
from recon_worker.worker.loop import Worker
from testkit.waiting import until


@contextmanager
def migrated_postgres() -> Iterator[EmbeddedPostgres]:
    """Run a temporary server at the schema's head."""
    with running_postgres() as server:
        asyncio.run(migrate(server.url))
        yield server


def worker_url(server: EmbeddedPostgres) -> str:
    """Return its database's URL as the worker's role."""
    return server.url.replace("postgres@", "payments_worker@")


@asynccontextmanager
async def running_worker(url: str, **options: object) -> AsyncIterator[Worker]:
    """Run a worker that drains when the block ends; options are WorkerSettings' fields."""
    settings = WorkerSettings.model_validate({"DATABASE_URL": url, **options})
    engine = create_engine(url, application_name="own-worker", pool_size=8)
    worker = Worker(settings, engine, url, Lifecycle(), "test")
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.lifecycle.stopping.set()
        await running
        await engine.dispose()


async def until_listening(worker: Worker) -> None:
    """Return when the worker listens and has read the queue. Raises TimeoutError."""

    async def listening() -> bool:
        return worker.polling.listening and worker.reachable

    await until(listening)
