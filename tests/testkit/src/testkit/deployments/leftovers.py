"""Containers and networks of runs that were killed before they could clean up.

Everything carries a label with the process that created it. A run that ends, fails or is
interrupted removes its own objects; those of a run killed with SIGKILL are removed by the next.
"""

import os
from contextlib import suppress

import docker
import psutil

LABEL = "payments.e2e.process"


def mark() -> str:
    """Return a mark of this process that no later process of the same number shares."""
    return f"{os.getpid()}@{psutil.Process().create_time():.2f}"


def _lives(marked: str) -> bool:
    pid, _, began = marked.partition("@")
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" == began
    except (psutil.NoSuchProcess, ValueError):
        return False


def sweep() -> None:
    """Remove the objects that no living process owns."""
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
