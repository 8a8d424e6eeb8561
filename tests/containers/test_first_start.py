"""A first start on Kubernetes is quiet: Postgres has started once its roles can log in."""

import asyncio
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from payments_api.migrate import migrate
from payments_local.settings import REPOSITORY
from testkit.deployments.engine import docker
from testkit.deployments.postgres_container import PASSWORD, engine_problem, image
from testkit.waiting import until

pytestmark = pytest.mark.engine

PAUSE_SECONDS = 1  # Of the probe, between two looks.
PASSWORDS = {"payments_api": "of-the-api", "payments_worker": "of-the-worker"}


def startup_command() -> list[str]:
    """Return the command of Postgres' startup probe in the base."""
    text = (REPOSITORY / "deploy/k8s/base/postgres.yaml").read_text()
    found = next(each for each in yaml.safe_load_all(text) if each["kind"] == "StatefulSet")
    (container,) = found["spec"]["template"]["spec"]["containers"]
    command: list[str] = container["startupProbe"]["exec"]["command"]
    return command


@contextmanager
def waiting(*arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command of the engine beside the block."""
    command = subprocess.Popen(["docker", *arguments])
    try:
        yield command
    finally:
        command.kill()
        command.wait()


@pytest.fixture
def server() -> Iterator[str]:
    """Start Postgres with the base's own arguments for a new cluster; yield the container."""
    problem = engine_problem()
    if problem is not None:
        if "engine" in os.environ.get("REQUIRE", "").split(","):
            pytest.fail(problem)
        pytest.skip(problem)
    name = f"payments-test-{uuid.uuid4().hex[:8]}"
    arguments = "--auth-local=peer --auth-host=scram-sha-256 --data-checksums"
    environ = [
        "--env=POSTGRES_DB=payments",
        f"--env=POSTGRES_PASSWORD={PASSWORD}",
        f"--env=POSTGRES_INITDB_ARGS={arguments}",
    ]
    docker("run", "--detach", "--user=999:999", f"--name={name}", *environ, image())
    try:
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


async def test_it_has_started_once_the_migration_has_set_the_passwords(server: str) -> None:
    probe = ("exec", server, *startup_command())

    async def accepts() -> bool:
        answer = docker("exec", server, "pg_isready", "-q", "-h", "127.0.0.1", check=False)
        return answer.returncode == 0

    await until(accepts, 30)
    with waiting(*probe) as started:
        address = docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", server)
        url = f"postgresql://postgres:{PASSWORD}@{address.stdout.strip()}:5432/payments"
        await migrate(url)
        await asyncio.sleep(3 * PAUSE_SECONDS)
        assert started.poll() is None  # The roles exist, without passwords.
        await migrate(url, passwords=PASSWORDS)
        assert await asyncio.to_thread(started.wait, 10) == 0
    fatal = [line for line in docker("logs", server).stderr.splitlines() if "FATAL" in line]
    # One look may fall into the moment between listening and readiness.
    assert [line for line in fatal if "is starting up" not in line] == []
    docker("restart", server)
    assert docker(*probe, check=False).returncode == 0
