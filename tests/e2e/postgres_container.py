"""Postgres in a container, by testcontainers, where an engine answers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import docker
from testcontainers.community.postgres import PostgresContainer

from payments_local.ports import free_port

DEFAULT_IMAGE = "postgres:17.6-trixie"
PORT = 5432
PASSWORD = "of-a-test"


def image() -> str:
    """What to run: POSTGRES_IMAGE, or the official image at a pinned version."""
    return os.environ.get("POSTGRES_IMAGE", DEFAULT_IMAGE)


def engine_problem() -> str | None:
    """Why no container can be had here; None when one can."""
    try:
        client = docker.from_env(timeout=10)
        client.ping()
    except Exception as error:
        return f"no container engine answers ({type(error).__name__})"
    try:
        client.images.get(image())
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

    def restart(self) -> None:
        """Kill the container's server and start the container again on the same data."""
        wrapped = self._container.get_wrapped_container()
        wrapped.kill()
        wrapped.start()


@contextmanager
def postgres_container() -> Iterator[ContainerDatabase]:
    """A real Postgres of its own for as long as the block runs."""
    port = free_port()
    container = PostgresContainer(
        image(), username="postgres", password=PASSWORD, dbname="payments"
    )
    # On the loopback only. docker-py takes an address and a port; its annotation knows less.
    container.ports[f"{PORT}/tcp"] = ("127.0.0.1", port)  # type: ignore[assignment]
    with container:
        yield ContainerDatabase(container, port)
