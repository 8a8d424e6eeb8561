"""The system as containers of the three built images, restricted as in production."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from payments_local.ports import free_port
from testkit.deployments.deployment import Database, Deployment, service_commands, service_settings
from testkit.deployments.engine import docker
from testkit.deployments.leftovers import LABEL, mark
from testkit.deployments.postgres_container import ContainerDatabase
from testkit.deployments.processes import ROLE_PASSWORD, ROLE_PASSWORDS, WORKERS
from testkit.network.readiness import is_ready

TAG = "e2e"
BUILD_SECONDS_MAX = 900
READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 40
REMOVE_TRIES_MAX = 10
PORTS = {"payments-api": 3001, "recon-worker": 3002, "payments-ui": 3000}
CONFINED = (
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--memory", "512m", "--pids-limit", "100"),
)


@dataclass
class ContainerPart:
    """One service as a container. Each start is a new container at the same address."""

    image: str
    number: int
    network: str
    environ: Mapping[str, str]
    folder: Path
    port: int = field(default_factory=free_port)
    container: str | None = None

    @property
    def host(self) -> str:
        """Return its name for other containers."""
        return f"{self.image}-{self.number}"

    def start(self) -> None:
        """Create it and wait until /readyz answers 200."""
        environ = [f"--env={name}={value}" for name, value in self.environ.items()]
        self.container = f"{self.host}-{uuid4().hex[:8]}"
        docker(
            *("run", "--detach", "--name", self.container, "--label", f"{LABEL}={mark()}"),
            *("--network", self.network, "--network-alias", self.host),
            *("--publish", f"127.0.0.1:{self.port}:{PORTS[self.image]}"),
            *(*CONFINED, *environ, f"{self.image}:{TAG}"),
        )
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not is_ready(self.port):
            assert self._state("Running") == "true", self._logs()
            assert time.monotonic() < deadline, f"{self.host} is not ready"
            time.sleep(0.1)

    def stop(self) -> None:
        """Send SIGTERM and wait: it must exit with status 0."""
        if self.container is not None:
            docker("stop", "--time", str(STOP_SECONDS_MAX), self.container)
            status, said = self._state("ExitCode"), self._logs()
            self._remove()
            assert status == "0", f"{self.host} ended with {status}: {said[-2000:]}"

    def kill(self) -> None:
        """Send SIGKILL."""
        if self.container is not None:
            docker("kill", self.container, check=False)
            self._remove()

    def _state(self, what: str) -> str:
        assert self.container is not None
        said = docker("inspect", "--format", f"{{{{.State.{what}}}}}", self.container)
        return said.stdout.strip()

    def _logs(self) -> str:
        assert self.container is not None
        done = docker("logs", self.container, check=False)
        return done.stdout + done.stderr

    def _remove(self) -> None:
        assert self.container is not None
        with (self.folder / f"{self.host}.log").open("a") as log:
            log.write(self._logs())
        docker("rm", "--force", "--volumes", self.container, check=False)
        self.container = None


@contextmanager
def deployed_images(database: Database, folder: Path) -> Iterator[Deployment]:
    """Build, migrate and run the system while the block runs."""
    assert isinstance(database, ContainerDatabase), "images find Postgres in their own network"
    docker("compose", "build", "--quiet", seconds_max=BUILD_SECONDS_MAX, IMAGE_TAG=TAG)
    network = f"payments-e2e-{uuid4().hex[:8]}"
    docker("network", "create", "--label", f"{LABEL}={mark()}", network)
    try:
        docker("network", "connect", "--alias", "postgres", network, database.container_id)
        deployment = _deployment(database, network, folder)
        parts = [deployment.api, *deployment.workers, deployment.ui]
        deployment.run_command("migrate").check_returncode()
        try:
            for part in parts:
                part.start()
            yield deployment
        finally:
            for part in (*reversed(parts), deployment.keyed_api):
                part.kill()
    finally:
        docker("network", "disconnect", "--force", network, database.container_id, check=False)
        _remove_network(network)


def _remove_network(network: str) -> None:
    """Remove the network, with any container of an interrupted `docker run`."""
    for _ in range(REMOVE_TRIES_MAX):
        left = docker("ps", "--all", "--quiet", "--filter", f"network={network}").stdout.split()
        if left:
            docker("rm", "--force", "--volumes", *left, check=False)
        if docker("network", "rm", network, check=False).returncode == 0:
            return
        time.sleep(0.5)


def _deployment(database: ContainerDatabase, network: str, folder: Path) -> Deployment:
    settings = service_settings(
        lambda role: f"postgresql://{role}:{ROLE_PASSWORD}@postgres/payments"
    )

    def part(image: str, number: int = 1, **more: str) -> ContainerPart:
        return ContainerPart(image, number, network, {**settings[image], **more}, folder)

    api = part("payments-api", PAYMENTS_API_ALLOWED_HOSTS="payments-api-1")
    api_url = f"http://{api.host}:{PORTS[api.image]}"
    keyed_api = part("payments-api", 2, PAYMENTS_API_AUTH="on")
    ui = part("payments-ui", PAYMENTS_UI_API_URL=api_url)
    commands = service_commands(api_url)
    _, _, password = database.url.partition("@")[0].rpartition(":")
    owner = {"DATABASE_URL": f"postgresql://postgres:{password}@postgres/payments"}

    def run_command(name: str, *more: str) -> "subprocess.CompletedProcess[str]":
        image, *arguments = commands[name]
        environ = [f"--env={key}={value}" for key, value in {**ROLE_PASSWORDS, **owner}.items()]
        options = ("--rm", "--label", f"{LABEL}={mark()}", "--network", network)
        return docker(
            *("run", *options, *CONFINED, *environ, f"{image}:{TAG}", *arguments, *more),
            check=False,
        )

    return Deployment(
        database=database,
        api=api,
        keyed_api=keyed_api,
        workers=[part("recon-worker", number) for number in range(1, WORKERS + 1)],
        ui=ui,
        api_url=f"http://127.0.0.1:{api.port}",
        keyed_api_url=f"http://127.0.0.1:{keyed_api.port}",
        ui_url=f"http://127.0.0.1:{ui.port}",
        run_command=run_command,
    )
