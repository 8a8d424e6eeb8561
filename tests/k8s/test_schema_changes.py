"""Expand and contract: the running release works on the schema of the next one.

A migration runs before the rollout, so for some minutes (or longer, after a rollback) the old code
runs on the new schema. docs/operations/migrations.md lists the rules for a revision, and
test_revisions.py enforces them; here the services run on a newer schema.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from quart import Quart
from quart.typing import TestClientProtocol

from payments_api.app import create_app
from payments_api.migrate import head_revision
from payments_api.settings import ApiSettings
from payments_local.ports import free_port
from payments_local.postgres import EmbeddedPostgres, running_postgres
from testkit.chaos.earlier_release import git, newest_release, unpack
from testkit.database.sql import Sql
from testkit.deployments.service_process import ServiceProcess
from testkit.waiting import until
from testkit.worker.own_system import migrated_postgres, running_worker, worker_url

# Typical changes of a next release to this release's schema.
NEXT_RELEASE = """
ALTER TABLE payments ADD COLUMN nickname text;
ALTER TABLE payments ADD COLUMN channel text NOT NULL DEFAULT 'api';
ALTER TABLE recon_jobs ADD COLUMN shard smallint NOT NULL DEFAULT 0;
ALTER TABLE ledger_entries ADD COLUMN batch_id uuid;
ALTER TABLE accounts ADD COLUMN frozen_at timestamptz;
ALTER TABLE payments ADD CONSTRAINT nickname_is_short CHECK (length(nickname) < 36) NOT VALID;
CREATE TABLE refunds (id uuid PRIMARY KEY, payment_id uuid NOT NULL REFERENCES payments (id));
GRANT SELECT, INSERT ON refunds TO payments_api;
CREATE INDEX payments_by_nickname ON payments (nickname) WHERE nickname IS NOT NULL;
UPDATE alembic_version SET version_num = 'next';
"""


async def pay_and_wait(client: TestClientProtocol, sql: Sql) -> None:
    """Create one payment through the API, and wait until the worker settles it."""
    answer = await client.post(
        "/payments",
        json={"accountId": "acc_1", "amount": "12.50"},
        headers={"Idempotency-Key": str(uuid4())},
    )
    assert answer.status_code == 201, await answer.get_data()
    payment_id = (await answer.get_json())["id"]

    async def settled() -> bool:
        query = "SELECT status FROM payments WHERE id = $1"
        return bool(await sql.fetchval(query, payment_id) == "completed")

    await until(settled)


@pytest.fixture(scope="module")
def own_server() -> Iterator[EmbeddedPostgres]:
    """Run a Postgres whose schema a test may change."""
    with migrated_postgres() as server:
        yield server


@asynccontextmanager
async def running_release(server: EmbeddedPostgres) -> AsyncIterator[TestClientProtocol]:
    """Run this release's API and worker, each with its own role."""
    url = server.url.replace("postgres@", "payments_api@")
    app: Quart = create_app(ApiSettings.model_validate({"auth": "off", "DATABASE_URL": url}))
    async with app.test_app(), running_worker(worker_url(server)):
        yield app.test_client()


async def test_this_release_works_during_and_after_the_next_migration(
    own_server: EmbeddedPostgres,
) -> None:
    sql = await asyncpg.connect(own_server.url)
    try:
        async with running_release(own_server) as client:
            await pay_and_wait(client, sql)
            paying = asyncio.create_task(pay_many(client, own_server.url))
            # As migrate does: one transaction that gives up before other sessions queue behind it.
            async with sql.transaction():
                await sql.execute("SET LOCAL lock_timeout = '10s'")
                await sql.execute(NEXT_RELEASE)
            await paying
            assert (await client.get("/readyz")).status_code == 200
            for path in ("/payments?status=completed", "/accounts/acc_1/entries", "/jobs/stats"):
                assert (await client.get(path)).status_code == 200, path
        # Simulates a pod of this release that is rescheduled or rolled back now.
        async with running_release(own_server) as client:
            assert (await client.get("/readyz")).status_code == 200
            await pay_and_wait(client, sql)
        assert await sql.fetchval("SELECT count(*) FROM ledger_entries WHERE batch_id IS NULL") > 0
    finally:
        await sql.close()


async def pay_many(client: TestClientProtocol, url: str) -> None:
    other = await asyncpg.connect(url)
    try:
        for _ in range(10):
            await pay_and_wait(client, other)
    finally:
        await other.close()


async def test_services_wait_for_an_older_schema(own_server: EmbeddedPostgres) -> None:
    sql = await asyncpg.connect(own_server.url)
    try:
        before = await sql.fetchval("SELECT version_num FROM alembic_version")
        await sql.execute("UPDATE alembic_version SET version_num = '0002'")
        async with running_release(own_server) as client:
            answer = await client.get("/readyz")
            assert answer.status_code == 503
            assert head_revision() in (await answer.get_json())["detail"]
        await sql.execute("UPDATE alembic_version SET version_num = $1", before)
    finally:
        await sql.close()


# --- the release before this one, from git --------------------------------------------------------


def last_release() -> str:
    """Return the newest tag before this commit. Before the first release: HEAD."""
    if git("rev-parse", "--verify", "HEAD").returncode:
        pytest.skip("not a git clone: there is no earlier release to run")
    return newest_release() or "HEAD"


@contextmanager
def old_processes(tree: Path, pythonpath: str, url: str) -> Iterator[str]:
    """Run the API and a worker of another source tree; yield the API's address."""
    environ = {
        "PYTHONPATH": pythonpath,
        "LOG_FORMAT": "json",
        "PAYMENTS_API_AUTH": "off",
    }
    api_port, worker_port = free_port(), free_port()
    parts = [
        ServiceProcess(
            module, verb, tree / f"{module}.log", port, {**environ, "DATABASE_URL": role_url}
        )
        for module, verb, port, role_url in (
            ("payments_api", "serve", api_port, url.replace("postgres@", "payments_api@")),
            ("recon_worker", "run", worker_port, url.replace("postgres@", "payments_worker@")),
        )
    ]
    try:
        for part in parts:
            part.start()
        yield f"http://127.0.0.1:{api_port}"
    finally:
        for part in parts:
            part.kill()


def test_the_last_release_runs_on_this_schema(tmp_path: Path) -> None:
    """Run its code, from its tag, as processes; this release's seven checks verify it."""
    pythonpath = unpack(last_release(), tmp_path)
    with running_postgres() as server:
        this_release = {**os.environ, "DATABASE_URL": server.url}

        def run(*arguments: str) -> None:
            done = subprocess.run(
                [sys.executable, "-m", "payments_api", *arguments],
                env=this_release,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr

        run("migrate")
        with old_processes(tmp_path, pythonpath, server.url) as api_url:
            run("validate", "--api-url", api_url)
