"""Containers and networks of runs that were killed before they could tidy up.

Everything made here carries a label with the process that made it. A run that ends, fails or is
interrupted removes its own; one that was killed with SIGKILL leaves them to the next.
"""

import os
from contextlib import suppress

import docker
import psutil

LABEL = "payments.e2e.process"


def mark() -> str:
    """This process, so that no later one of the same number is taken for it."""
    return f"{os.getpid()}@{psutil.Process().create_time():.2f}"


def _lives(marked: str) -> bool:
    pid, _, began = marked.partition("@")
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" == began
    except (psutil.NoSuchProcess, ValueError):
        return False


def sweep() -> None:
    """Remove what no living process owns."""
    client = docker.from_env(timeout=60)
    try:
        for container in client.containers.list(all=True, filters={"label": LABEL}):
            if not _lives(container.labels[LABEL]):
                with suppress(docker.errors.APIError):
                    container.remove(force=True, v=True)
        for network in client.networks.list(filters={"label": LABEL}):
            if not _lives(network.attrs["Labels"][LABEL]):
                with suppress(docker.errors.APIError):
                    network.remove()
    finally:
        client.close()
