"""One deployment for all scenarios; each uses accounts and keys of its own.

The services run as processes of this checkout; with E2E_IMAGES=1 as their own built images; with
E2E_IMAGES=both, or where REQUIRE names `engine`, first as the one and then as the other.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from payments_local.postgres import running_postgres
from testkit.deployments.built_images import deployed_images
from testkit.deployments.deployment import Database, Deployment
from testkit.deployments.postgres_container import engine_problem, image, postgres_container
from testkit.deployments.processes import EmbeddedDatabase, deployed_processes

POSTGRES = pytest.StashKey[str]()
WAYS = {"0": ["processes"], "1": ["images"], "both": ["processes", "images"]}


def pytest_configure(config: pytest.Config) -> None:
    """Decide, once, what the scenarios run on."""
    # A runner's SIGTERM cleans up as Ctrl-C does; by default pytest would just end.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    problem = engine_problem()
    required = "engine" in os.environ.get("REQUIRE", "").split(",")
    if problem is None:
        config.stash[POSTGRES] = f"{image()} by testcontainers"
    elif required:
        raise pytest.UsageError(f"REQUIRE=engine, and {problem}")
    else:
        config.stash[POSTGRES] = f"embedded: {problem}"
    if os.environ.get("E2E_IMAGES", "0") not in WAYS:
        raise pytest.UsageError("E2E_IMAGES is 0 (processes), 1 (images) or both")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The ways in which the services run."""
    if "deployment" in metafunc.fixturenames:
        required = "engine" in os.environ.get("REQUIRE", "").split(",")
        ways = WAYS[os.environ.get("E2E_IMAGES", "both" if required else "0")]
        metafunc.parametrize("deployment", ways, indirect=True, scope="session")


def pytest_report_header(config: pytest.Config) -> str:
    """Say which Postgres the scenarios run on."""
    return f"e2e: Postgres is {config.stash[POSTGRES]}"


@pytest.fixture(scope="session")
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A real Postgres server, gone at the end, also after Ctrl-C."""
    if request.config.stash[POSTGRES].startswith("embedded"):
        with running_postgres() as server:
            yield EmbeddedDatabase(server)
    else:
        with postgres_container() as container:
            yield container


@pytest.fixture(scope="session")
def deployment(
    request: pytest.FixtureRequest, database: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """The system, ready."""
    folder: Path = tmp_path_factory.mktemp("logs")
    if request.param == "processes":
        with deployed_processes(database, folder) as running:
            yield running
    elif request.config.stash[POSTGRES].startswith("embedded"):
        pytest.skip(f"images need an engine: {request.config.stash[POSTGRES]}")
    else:
        with deployed_images(database, folder) as running:
            yield running


@pytest.fixture
def client(deployment: Deployment) -> Iterator[httpx.Client]:
    """A client of the API."""
    with deployment.client() as client:
        yield client
