"""A composed system for one test: its own project, ports and volumes, removed at its end."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import psutil

from payments_local.ports import free_port
from testkit.checked_command import output_of

UP_SECONDS_MAX = 120
COMMAND_SECONDS_MAX = 120
PREFIX = "payments-test-"


def own_mark() -> str:
    """Return a mark of this process that no later process of the same number shares."""
    return f"{os.getpid()}-{int(psutil.Process().create_time())}"


def sweep() -> None:
    """Remove the systems of killed runs, whose services would otherwise restart forever."""
    listed = subprocess.run(
        ["docker", "compose", "ls", "--all", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    for project in (found["Name"] for found in json.loads(listed.stdout)):
        if project.startswith(PREFIX):
            pid, began, *_ = project.removeprefix(PREFIX).split("-")
            with suppress(psutil.NoSuchProcess):
                if int(psutil.Process(int(pid)).create_time()) == int(began):
                    continue
            down = ["docker", "compose", "--project-name", project, "down", "--volumes"]
            subprocess.run(down, capture_output=True, check=False)


class Composed:
    """`docker compose` for one project, and clients of its published ports."""

    def __init__(self, tag: str) -> None:
        self.project = f"{PREFIX}{own_mark()}-{uuid.uuid4().hex[:6]}"
        self.pg_port, self.api_port, self.worker_port, self.ui_port = (
            free_port() for _ in range(4)
        )
        self.up_seconds, self.first_log = 0.0, ""
        self.environ = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.project,
            "IMAGE_TAG": tag,
            "PG_PORT": str(self.pg_port),
            "API_PORT": str(self.api_port),
            "WORKER_PORT": str(self.worker_port),
            "UI_PORT": str(self.ui_port),
        }
        self.api_url = f"http://127.0.0.1:{self.api_port}"

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Return standard output; a failure shows compose's errors."""
        return self.run("docker", "compose", *arguments, check=check)

    def run(self, *command: str, check: bool = True) -> str:
        return output_of(
            *command, environ=self.environ, seconds_max=COMMAND_SECONDS_MAX, check=check
        )

    def up(self, *arguments: str) -> float:
        """Return the seconds until every service is healthy."""
        started = time.monotonic()
        self.compose("up", "--detach", "--wait", "--wait-timeout", str(UP_SECONDS_MAX), *arguments)
        return time.monotonic() - started

    def containers(self, service: str) -> list[dict[str, Any]]:
        """Return the engine's data about a service's containers."""
        ids = self.compose("ps", "--all", "--quiet", service).split()
        found: list[dict[str, Any]] = json.loads(self.run("docker", "inspect", *ids))
        return found

    def sql(self, statement: str) -> str:
        """Return a statement's single value, queried as the owner inside the container."""
        psql = ("psql", "-U", "postgres", "-d", "payments", "-tAc", statement)
        return self.compose("exec", "-T", "postgres", *psql).strip()

    def post(self, account: str, amount: str, key: str | None = None) -> httpx.Response:
        return httpx.post(
            f"{self.api_url}/payments",
            json={"accountId": account, "amount": amount},
            headers={"Idempotency-Key": key or uuid.uuid4().hex},
            timeout=10,
        )

    def balance(self, account: str) -> str:
        answer = httpx.get(f"{self.api_url}/accounts/{account}/balance", timeout=10)
        return str(answer.raise_for_status().json()["balance"])


def eventually(what: str, condition: Callable[[], bool], seconds_max: float = 60.0) -> None:
    """Wait until the condition is true; an error counts as false."""
    deadline = time.monotonic() + seconds_max
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except (httpx.HTTPError, AssertionError):
            pass
        time.sleep(0.3)
    raise AssertionError(f"{what} did not happen within {seconds_max:.0f} s")


@contextmanager
def composed(tag: str) -> Iterator[Composed]:
    """Run the system while the block runs, then remove all of it."""
    sweep()
    system = Composed(tag)
    try:
        yield system
    finally:
        system.compose("--profile", "*", "down", "--volumes", "--timeout", "5", check=False)
