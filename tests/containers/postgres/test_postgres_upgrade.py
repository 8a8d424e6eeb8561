"""Another major version of Postgres: rejected in one line, and reached by backup and restore."""

import asyncio
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import yaml

from payments_api.migrate import migrate
from payments_core.db.engine import create_engine
from payments_local.backup.create import create
from payments_local.backup.restore import restore
from payments_local.backup.server import Database
from payments_local.postgres import running_postgres
from payments_local.settings import REPOSITORY
from testkit.database.backlog import add_simple, until_completed
from testkit.database.ledgers.sealed import seal_all
from testkit.deployments.engine import docker
from testkit.worker.own_system import running_worker

pytestmark = pytest.mark.engine

IMAGE = "payments-airgap/postgres:17"
PAYMENTS = 40
READY_SECONDS_MAX = 30.0


@pytest.fixture(autouse=True)
def _built() -> None:
    if docker("image", "inspect", IMAGE, check=False).returncode != 0:
        pytest.skip("no base images here: make airgap builds them")


def composed() -> list[str]:
    """Return the entrypoint of Postgres in compose, with its variables as compose passes them."""
    read = yaml.safe_load((REPOSITORY / "deploy/compose/compose.yaml").read_text())
    return [word.replace("$$", "$") for word in read["services"]["postgres"]["entrypoint"]]


def clustered() -> list[str]:
    """Return the command of Postgres in the Kubernetes base."""
    text = (REPOSITORY / "deploy/k8s/base/postgres.yaml").read_text()
    read = next(each for each in yaml.safe_load_all(text) if each["kind"] == "StatefulSet")
    command: list[str] = read["spec"]["template"]["spec"]["containers"][0]["command"]
    return command


def run_on_data_of(version: str, command: list[str]) -> "subprocess.CompletedProcess[str]":
    name = f"payments-test-{uuid.uuid4().hex[:8]}"
    mount = ("--volume", f"{name}:/var/lib/postgresql/data")
    try:
        write = f"echo {version} >$PGDATA/PG_VERSION"
        docker("run", "--rm", *mount, IMAGE, "sh", "-c", write)
        started, *rest = command
        given = ("--rm", "--env", "POSTGRES_PASSWORD=x", "--entrypoint", started)
        return docker("run", *given, *mount, IMAGE, *rest, "postgres", "--version", check=False)
    finally:
        docker("volume", "rm", "--force", name)


def test_compose_and_the_base_start_postgres_in_the_same_way() -> None:
    assert composed() == clustered()


@pytest.mark.parametrize("version", ["9.6", "16", "18"])
def test_data_of_another_major_version_is_rejected_in_one_line(version: str) -> None:
    done = run_on_data_of(version, composed())
    assert done.returncode == 1
    assert done.stderr == (
        f"The data is of PostgreSQL {version}, this image is 17: go back to {version},"
        " then see docs/operations/postgres-upgrade.md\n"
    )


def test_data_of_the_same_major_version_is_served() -> None:
    done = run_on_data_of("17", composed())
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("postgres (PostgreSQL) 17.")


@pytest.fixture
def older() -> Iterator[str]:
    """Run PostgreSQL 17 in a container; yield its database's URL."""
    name = f"payments-test-{uuid.uuid4().hex[:8]}"
    environ = ("--env", "POSTGRES_HOST_AUTH_METHOD=trust", "--env", "POSTGRES_DB=payments")
    docker("run", "--detach", "--name", name, *environ, IMAGE)
    try:
        deadline = time.monotonic() + READY_SECONDS_MAX
        probe = ("exec", name, "pg_isready", "-q", "-h", "127.0.0.1")
        while docker(*probe, check=False).returncode != 0:
            assert time.monotonic() < deadline, docker("logs", name).stderr
            time.sleep(0.2)
        address = docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", name)
        yield f"postgresql://postgres@{address.stdout.strip()}:5432/payments"
    finally:
        docker("rm", "--force", "--volumes", name)


async def settle(url: str) -> None:
    await migrate(url)
    sql = await asyncpg.connect(url)
    async with running_worker(url.replace("postgres@", "payments_worker@")):
        await add_simple(sql, PAYMENTS)
        await until_completed(sql, PAYMENTS)
    await sql.close()
    engine = create_engine(url, application_name="sealing", pool_size=1)
    while not await seal_all(engine):  # noqa: ASYNC110 - a transaction elsewhere decides it.
        await asyncio.sleep(0.05)
    await engine.dispose()


def test_a_backup_of_17_restores_on_18_with_valid_books_and_seals(
    older: str, tmp_path: Path
) -> None:
    asyncio.run(settle(older))
    made = create(Database(older), tmp_path, keep=1)
    assert made.manifest.server_version // 10_000 == 17
    with running_postgres() as newer:
        held, _ = restore(made.dump, Database(newer.url))
        assert Database(newer.url).sql("SHOW server_version_num").startswith("18")
    assert (held.payments, held.entries, held.sealed) == (PAYMENTS, 2 * PAYMENTS, True)
