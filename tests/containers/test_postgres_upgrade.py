"""Data of another major version of Postgres is told in one line."""

import subprocess
import uuid

import pytest
import yaml

from payments_local.settings import REPOSITORY

pytestmark = pytest.mark.engine

IMAGE = "payments-airgap/postgres:17"


@pytest.fixture(autouse=True)
def _built() -> None:
    if docker("image", "inspect", IMAGE).returncode != 0:
        pytest.skip("no base images here: make airgap builds them")


def docker(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


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
        assert docker("run", "--rm", *mount, IMAGE, "sh", "-c", write).returncode == 0
        started, *rest = command
        given = ("--rm", "--env", "POSTGRES_PASSWORD=x", "--entrypoint", started)
        return docker("run", *given, *mount, IMAGE, *rest, "postgres", "--version")
    finally:
        docker("volume", "rm", "--force", name)


def test_compose_and_the_base_start_postgres_in_the_same_way() -> None:
    assert composed() == clustered()


@pytest.mark.parametrize("version", ["9.6", "16", "18"])
def test_data_of_another_major_version_is_told_in_one_line(version: str) -> None:
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
