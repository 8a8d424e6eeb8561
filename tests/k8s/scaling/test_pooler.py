"""The workers behind a real PgBouncer, with the settings of components/cloudnative-pg."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from payments_api.migrate import migrate
from payments_core.db.engine import create_engine, server_settings
from payments_local.ports import free_port
from payments_local.postgres import running_postgres
from testkit.database.backlog import add_simple
from testkit.database.servers.pgbouncer import write_pgbouncer
from testkit.database.servers.standby import Pair, fail_over
from testkit.database.sql import Sql
from testkit.deployments.engine import docker
from testkit.deployments.k8s_manifests import FULLEST, combination, one
from testkit.deployments.postgres_container import engine_problem
from testkit.model.ledger import assert_audit_is_clean
from testkit.waiting import until
from testkit.worker.own_system import running_worker

IMAGE = "payments-airgap/pgbouncer:test"
DOCKERFILE = Path(__file__).with_name("pgbouncer.Dockerfile")
PAYMENTS = 2_000
FAILOVER_SECONDS = 4.0
BACK_WITHIN_SECONDS = 5.0

OBJECTS = combination(FULLEST)
POOLER = one(OBJECTS, "Pooler", "payments-db-pooler")["spec"]["pgbouncer"]
CLUSTER = one(OBJECTS, "Cluster", "payments-db")["spec"]

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def image() -> str:
    """Build the image of PgBouncer; without an engine, skip, or fail if REQUIRE names one."""
    problem = engine_problem()
    base = "payments-airgap/debian:trixie"
    if problem is None and docker("image", "inspect", base, check=False).returncode:
        problem = f"there is no image {base}: run make airgap"
    if problem is not None:
        if "engine" in os.environ.get("REQUIRE", "").split(","):
            pytest.fail(problem)
        pytest.skip(problem)
    folder = str(DOCKERFILE.parent)
    command = ("build", "--quiet", "--network=host", "--tag", IMAGE, "--file", str(DOCKERFILE))
    docker(*command, folder)
    return IMAGE


@contextmanager
def pgbouncer(image: str, folder: Path, postgres_port: int) -> Iterator[int]:
    """Run PgBouncer in front of that port with the manifests' parameters; yield its port."""
    port = free_port()
    write_pgbouncer(folder, POOLER, port, postgres_port, "/settings")
    folder.chmod(0o755)
    name = f"payments-pooler-test-{uuid4().hex[:8]}"
    mount = f"--volume={folder}:/settings:ro"
    started = docker(
        *("run", "--detach", "--name", name, "--network=host", mount, image),
        "/settings/pgbouncer.ini",
    )
    try:
        assert started.returncode == 0, started.stderr
        yield port
    finally:
        docker("rm", "--force", name)


async def test_workers_settle_behind_pgbouncer_in_transaction_mode(
    image: str, tmp_path: Path
) -> None:
    with running_postgres() as server, pgbouncer(image, tmp_path, server.port) as port:
        sql = await asyncpg.connect(server.url)
        for statement in CLUSTER["bootstrap"]["initdb"]["postInitSQL"]:
            await sql.execute(statement)
        await migrate(server.url)
        url = f"postgresql://payments_worker@127.0.0.1:{port}/payments"
        await until_it_answers(url)
        await assert_settings_hold(url)
        async with (
            running_worker(url, poll_only=True, audit_interval_seconds=0),
            running_worker(url, poll_only=True, audit_interval_seconds=0),
        ):
            await add_simple(sql, PAYMENTS)
            await until_settled(sql, PAYMENTS)
        await sql.close()
        engine = create_engine(server.url, application_name="test", pool_size=2)
        await assert_audit_is_clean(engine)
        await engine.dispose()


def test_workers_behind_the_pooler_recover_within_5_s_of_a_failover(
    image: str, tmp_path: Path
) -> None:
    """The address is unreachable for a while, so PgBouncer's logins fail before the promotion."""

    async def scenario(pair: Pair) -> None:
        with pgbouncer(image, tmp_path, pair.address.port) as port:
            sql = await asyncpg.connect(pair.primary.url)
            for statement in CLUSTER["bootstrap"]["initdb"]["postInitSQL"]:
                # The migration has created these roles.
                if not statement.startswith("CREATE ROLE"):
                    await sql.execute(statement)
            url = f"postgresql://payments_worker@127.0.0.1:{port}/payments"
            await until_it_answers(url)
            async with running_worker(url, poll_only=True, audit_interval_seconds=0):
                await add_simple(sql, 100)
                await until_settled(sql, 100)
                await sql.close()
                await pair.until_caught_up()
                pair.primary.crash()
                pair.address.cut()
                await asyncio.sleep(FAILOVER_SECONDS)
                await pair.promote()
                pair.move_address_to(pair.standby)
                sql = await asyncpg.connect(pair.standby.url)
                await add_simple(sql, 100)
                try:
                    async with asyncio.timeout(BACK_WITHIN_SECONDS):
                        await until_settled(sql, 200)
                finally:
                    await sql.close()

    fail_over(scenario)


async def until_settled(sql: Sql, payments: int) -> None:
    async def all_settled() -> bool:
        query = "SELECT count(*) FROM payments WHERE status = 'completed'"
        return bool(await sql.fetchval(query) == payments)

    await until(all_settled, 60)


async def until_it_answers(url: str) -> None:
    async def answers() -> bool:
        try:
            connection = await asyncpg.connect(url, timeout=2)
        except (OSError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True

    await until(answers, 30)


async def assert_settings_hold(url: str) -> None:
    """PgBouncer drops the worker's start-up settings, but its role has them as defaults."""
    asked = {**server_settings("test"), "lock_timeout": "1s"}
    connection = await asyncio.wait_for(asyncpg.connect(url, server_settings=asked), 10)
    try:
        for name, value in server_settings("test").items():
            if name not in ("application_name", "timezone"):
                assert await connection.fetchval(f"SHOW {name}") == value, name
    finally:
        await connection.close()
