"""Postgres in a container, by testcontainers, where an engine answers."""

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
    """What to run: POSTGRES_IMAGE, or what compose would: its own pin, or what .env says."""
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
    """Why no container can be had here; None when one can."""
    problem = None
    try:
        client = docker.from_env(timeout=10)
        client.ping()
    except Exception as error:
        problem = f"no container engine answers ({type(error).__name__})"
    if problem is not None:
        # The library leaves open the socket on which nobody answered, for a later test to trip on.
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
    """A Postgres container on a fixed port of the loopback, so that a restart keeps its address."""

    def __init__(self, container: PostgresContainer, port: int) -> None:
        self._container = container
        self._port = port

    @property
    def url(self) -> str:
        """Of the superuser."""
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self._port}/payments"

    @property
    def container_id(self) -> str:
        """What the engine calls it."""
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
    """A real Postgres of its own for as long as the block runs."""
    # Its reaper is an image of its own, which a site without a registry cannot have.
    testcontainers_config.ryuk_disabled = True
    sweep()
    port = free_port()
    container = PostgresContainer(
        image(), username="postgres", password=PASSWORD, dbname="payments"
    ).with_kwargs(labels={LABEL: mark()})
    # On the loopback only. docker-py takes an address and a port; its annotation knows less.
    container.ports[f"{PORT}/tcp"] = ("127.0.0.1", port)  # type: ignore[assignment]
    with container:
        yield ContainerDatabase(container, port)
