"""A Postgres for one test, to be stopped and crashed, and a worker in this process on it."""

import asyncio
import atexit
import functools
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from payments_core.db.engine import create_engine
from payments_core.server.options import Lifecycle
from payments_local.data_folder import postgres_dir
from payments_local.postgres import EmbeddedPostgres, running_postgres, throwaway_folder
from recon_worker.settings import WorkerSettings
from recon_worker.worker.loop import Worker
from testkit.waiting import until


@functools.cache
def _migrated() -> Path:
    """Return the folder of a stopped server at the schema's head, made once in this process."""
    kept = ExitStack()
    atexit.register(kept.close)
    folder = kept.enter_context(throwaway_folder())
    with running_postgres(folder) as server:
        run_migration(server.url)
    return folder


def run_migration(url: str, **settings: str) -> None:
    """Run `payments-api migrate`, with no key and no role's password but those of `settings`.

    A process, because this one may run Playwright's event loop.
    """
    others = {name: each for name, each in os.environ.items() if "PAYMENTS_" not in name}
    subprocess.run(
        [sys.executable, "-m", "payments_api", "migrate"],
        env={**others, "DATABASE_URL": url, **settings},
        check=True,
        timeout=120,
        stdout=subprocess.DEVNULL,
    )


def copy_data(source: Path, target: Path) -> None:
    """Copy a stopped server's data folder; shutil would drop its owner, who must run the copy."""
    subprocess.run(["cp", "-a", source, target], check=True)


@contextmanager
def migrated_postgres(port: int | None = None) -> Iterator[EmbeddedPostgres]:
    """Run a temporary server at the schema's head.

    It is a copy, system identifier included: migrating a new server takes eight times as long.
    """
    with throwaway_folder() as folder:
        copy_data(postgres_dir(_migrated()), folder)
        with running_postgres(folder, port) as server:
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
