"""One deployment for all scenarios; each uses its own accounts and keys.

The services run as processes of this checkout; with E2E_IMAGES=1 as images built from it; with
E2E_IMAGES=both, or if REQUIRE names `engine`, as processes and then as images.
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
    """Choose a Postgres container if an engine answers, or else the embedded Postgres."""
    # Makes SIGTERM clean up as Ctrl-C does; by default pytest would end at once.
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
    """Run each scenario once for each way of running the services."""
    if "deployment" in metafunc.fixturenames:
        required = "engine" in os.environ.get("REQUIRE", "").split(",")
        ways = WAYS[os.environ.get("E2E_IMAGES", "both" if required else "0")]
        metafunc.parametrize("deployment", ways, indirect=True, scope="session")


def pytest_report_header(config: pytest.Config) -> str:
    """Report the Postgres used by the scenarios."""
    return f"e2e: Postgres is {config.stash[POSTGRES]}"


@pytest.fixture(scope="session")
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Run a Postgres server and remove it at the end, also after Ctrl-C."""
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
    """Run the system; it is ready."""
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
    """Return a client of the API."""
    with deployment.client() as client:
        yield client
