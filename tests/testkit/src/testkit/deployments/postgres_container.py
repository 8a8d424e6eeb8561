"""Postgres in a container, by testcontainers, if an engine answers."""

import gc
import json
import os
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import docker
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.config import testcontainers_config

from payments_local.ports import free_port
from payments_local.settings import REPOSITORY
from testkit.deployments.leftovers import LABEL, mark, sweep

PORT = 5432
PASSWORD = "of-a-test"


@cache
def image() -> str:
    """Return the image to run: POSTGRES_IMAGE, or compose's: its own pin, or .env's."""
    if given := os.environ.get("POSTGRES_IMAGE"):
        return given
    composed = subprocess.run(
        ["docker", "compose", "config", "--format", "json"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    found: str = json.loads(composed.stdout)["services"]["postgres"]["image"]
    return found


def engine_problem() -> str | None:
    """Return why no container can run here, or None."""
    problem = None
    try:
        client = docker.from_env(timeout=10)
        client.ping()
    except Exception as error:
        problem = f"no container engine answers ({type(error).__name__})"
    if problem is not None:
        # The library leaves the unanswered socket open, which would fail a later test.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        return problem
    try:
        client.images.get(image())
    except (OSError, subprocess.CalledProcessError):
        return "docker compose does not work here"
    except docker.errors.ImageNotFound:
        try:
            client.images.pull(image())
        except Exception as error:
            return f"the image {image()} cannot be had ({type(error).__name__})"
    return None


class ContainerDatabase:
    """A Postgres container on a fixed loopback port, so that a restart keeps its address."""

    def __init__(self, container: PostgresContainer, port: int) -> None:
        self._container = container
        self._port = port

    @property
    def url(self) -> str:
        """Return the superuser's URL."""
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self._port}/payments"

    @property
    def container_id(self) -> str:
        """Return the engine's id of the container."""
        found = self._container.get_wrapped_container().id
        assert found is not None, "it has been started"
        return found

    def kill(self) -> None:
        """Kill the container's processes. The container and its data stay."""
        self._container.get_wrapped_container().kill()

    def start(self) -> None:
        """Start the container again."""
        self._container.get_wrapped_container().start()


@contextmanager
def postgres_container() -> Iterator[ContainerDatabase]:
    """Run a real Postgres while the block runs."""
    # Its reaper needs another image, which a site without a registry does not have.
    testcontainers_config.ryuk_disabled = True
    sweep()
    port = free_port()
    container = PostgresContainer(
        image(), username="postgres", password=PASSWORD, dbname="payments"
    ).with_kwargs(labels={LABEL: mark()})
    # On loopback only. docker-py accepts an address and a port; its annotation is too narrow.
    container.ports[f"{PORT}/tcp"] = ("127.0.0.1", port)  # type: ignore[assignment]
    with container:
        yield ContainerDatabase(container, port)
