"""A worker that is rolled out before the migration has run."""

import asyncio

from payments_api.migrate import head_revision, migrate
from payments_core.db.schema_version import SCHEMA_REVISION
from payments_local.postgres import running_postgres
from testkit.waiting import until
from testkit.worker.own_system import running_worker, worker_url


def test_the_worker_knows_the_newest_revision() -> None:
    assert head_revision() == SCHEMA_REVISION


async def test_it_waits_for_the_schema_and_then_works() -> None:
    with running_postgres() as server:
        async with running_worker(worker_url(server), audit_interval_seconds=0) as worker:
            await asyncio.sleep(0.2)
            assert not worker.reachable
            await migrate(server.url, "0003")

            async def told() -> bool:
                return f"needs {SCHEMA_REVISION}" in worker.not_ready_because

            async def working() -> bool:
                return worker.reachable

            await until(told)
            assert not worker.reachable
            await migrate(server.url)
            await until(working)
