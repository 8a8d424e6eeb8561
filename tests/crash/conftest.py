"""Worker processes of one test, and the audit that ends each test."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from testkit.database.sql import Sql
from testkit.model.ledger import assert_audit_is_clean
from testkit.worker.worker_process import WorkerProcess

StartProcess: TypeAlias = Callable[..., WorkerProcess]


@pytest.fixture
def start_process(worker_url_of_database: str, tmp_path: Path) -> Iterator[StartProcess]:
    """`start_process(url=..., RECON_WORKER_...="...")`: a worker process, killed at the end."""
    with ExitStack() as stack:

        def start(url: str = worker_url_of_database, **environ: str) -> WorkerProcess:
            worker = WorkerProcess(url, tmp_path / "worker.log", **environ)
            stack.callback(worker.kill)
            return worker

        yield start


@pytest.fixture(autouse=True)
async def _audited(sql: Sql, engine: AsyncEngine) -> AsyncIterator[None]:
    del sql
    yield
    await assert_audit_is_clean(engine)
