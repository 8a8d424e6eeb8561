"""A real PgBouncer in transaction mode, with the parameters of the manifests."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from payments_local import run_as
from payments_local.ports import free_port
from payments_local.settings import REPOSITORY
from testkit.chaos.system.services import Service
from testkit.database.servers.pgbouncer import write_pgbouncer

MANIFESTS = REPOSITORY / "deploy" / "k8s" / "components" / "cloudnative-pg"
OLDEST = (1, 21)  # The first with prepared statements in transaction mode.
IMAGE = "payments-airgap/pgbouncer:test"  # Built by the tests of the manifests.


def _manifest(name: str) -> dict[str, Any]:
    documents: Iterable[Any] = yaml.safe_load_all((MANIFESTS / name).read_text())
    found: dict[str, Any] = next(iter(documents))
    return found


def role_statements() -> list[str]:
    """Return SQL for the worker role's defaults: PgBouncer drops a connection's own settings."""
    statements: list[str] = _manifest("cluster.yaml")["spec"]["bootstrap"]["initdb"]["postInitSQL"]
    return [statement for statement in statements if not statement.startswith("CREATE ROLE")]


def pooler_problem() -> str | None:
    """Return why PgBouncer cannot run here, or None."""
    if _program() or _has_image():
        return None
    version = ".".join(map(str, OLDEST))
    return f"there is neither a pgbouncer of {version} or newer nor the image {IMAGE}"


def _program() -> str | None:
    path = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")
    if path is None:
        return None
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"(\d+)\.(\d+)", said)
    return path if version and tuple(map(int, version.groups())) >= OLDEST else None


def _has_image() -> bool:
    if shutil.which("docker") is None:
        return False
    command = ["docker", "image", "inspect", IMAGE]
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


@dataclass(eq=False)
class Pooler(Service):
    """PgBouncer as a process, or in a container if only an image is available."""

    container: str | None = None

    def kill(self) -> None:
        """End it as a crash would."""
        if self.container is not None:
            command = ["docker", "rm", "--force", self.container]
            subprocess.run(command, capture_output=True, check=False, timeout=60)
        super().kill()


def pooler(folder: Path, postgres_port: int) -> Pooler:
    """Return a PgBouncer in front of that port, not started yet."""
    port = free_port()
    home = folder / "pooler"
    home.mkdir(mode=0o755)
    spec = _manifest("pooler.yaml")["spec"]["pgbouncer"]
    program = _program()
    seen_as = str(home) if program else "/settings"
    write_pgbouncer(home, spec, port, postgres_port, seen_as)
    name = f"payments-chaos-{uuid4().hex[:8]}"
    mount = f"--volume={home}:/settings:ro"
    options = ["--rm", f"--name={name}", "--network=host", mount]
    command = [program, str(home / "pgbouncer.ini")] if program else []
    command = command or ["docker", "run", *options, IMAGE, "/settings/pgbouncer.ini"]
    return Pooler(
        name="pooler",
        command=[part for part in command if part],
        environ={},
        log=folder / "pooler.log",
        port=port,
        run_as=run_as.unprivileged(home, [home]) if program else None,
        container=None if program else name,
    )
