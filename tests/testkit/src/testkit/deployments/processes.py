"""The system as processes of this checkout, on a Postgres in a container or embedded."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from payments_local.ports import free_port
from payments_local.postgres import EmbeddedPostgres
from testkit.deployments.deployment import Database, Deployment, service_commands, service_settings
from testkit.deployments.service_process import ServiceProcess

COMMAND_SECONDS_MAX = 180.0
WORKERS = 2
ROLE_PASSWORD = "of-a-role"
# The embedded server needs no passwords, the one in a container does.
ROLE_PASSWORDS = {
    "PAYMENTS_DB_API_PASSWORD": ROLE_PASSWORD,
    "PAYMENTS_DB_WORKER_PASSWORD": ROLE_PASSWORD,
}


class EmbeddedDatabase:
    """The embedded Postgres as the database under test."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server

    @property
    def url(self) -> str:
        """Return the superuser's URL."""
        return self._server.url

    def kill(self) -> None:
        """Shut it down without a checkpoint."""
        self._server.crash()

    def start(self) -> None:
        """Start it. It recovers from its log."""
        self._server.start()


@contextmanager
def deployed_processes(database: Database, folder: Path) -> Iterator[Deployment]:
    """Run the migrated system while the block runs."""
    deployment = _deployment(database, folder)
    parts = [deployment.api, *deployment.workers, deployment.ui]
    deployment.run_command("migrate").check_returncode()
    try:
        for part in parts:
            part.start()
        yield deployment
    finally:
        for part in (*reversed(parts), deployment.keyed_api):
            part.kill()


def _deployment(database: Database, folder: Path) -> Deployment:
    def url_of_role(role: str) -> str:
        _, _, address = database.url.rpartition("@")
        return f"postgresql://{role}:{ROLE_PASSWORD}@{address}"

    settings = service_settings(url_of_role)

    def part(name: str, command: str, number: int = 1, **more: str) -> ServiceProcess:
        module, log = name.replace("-", "_"), folder / f"{name}-{number}.log"
        return ServiceProcess(module, command, log, free_port(), {**settings[name], **more})

    api = part("payments-api", "serve")
    api_url = f"http://127.0.0.1:{api.port}"
    keyed_api = part("payments-api", "serve", 2, PAYMENTS_API_AUTH="on")
    ui = part("payments-ui", "serve", PAYMENTS_UI_API_URL=api_url)
    commands = service_commands(api_url)

    def run_command(name: str, *more: str) -> "subprocess.CompletedProcess[str]":
        service, *arguments = commands[name]
        return subprocess.run(
            [sys.executable, "-m", service.replace("-", "_"), *arguments, *more],
            env={**os.environ, **ROLE_PASSWORDS, "DATABASE_URL": database.url},
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )

    return Deployment(
        database=database,
        api=api,
        keyed_api=keyed_api,
        workers=[part("recon-worker", "run", number) for number in range(1, WORKERS + 1)],
        ui=ui,
        api_url=api_url,
        keyed_api_url=f"http://127.0.0.1:{keyed_api.port}",
        ui_url=f"http://127.0.0.1:{ui.port}",
        run_command=run_command,
    )
