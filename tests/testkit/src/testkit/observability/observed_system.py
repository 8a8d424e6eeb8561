"""API, worker and page as processes on a Postgres of their own, and what they print."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError

from payments_local.ports import free_port
from payments_local.postgres import BIN, EmbeddedPostgres, running_postgres
from testkit.observability.otlp_endpoint import OtlpEndpoint

READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0


@dataclass
class Process:
    """One service; its output is one JSON object a line."""

    name: str
    command: list[str]
    environ: Mapping[str, str]
    port: int
    output: Path
    popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "Process":
        """Start it and wait until it is ready."""
        with self.output.open("ab") as output:
            self.popen = subprocess.Popen(
                self.command, env={**os.environ, **self.environ}, stdout=output, stderr=output
            )
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not self._ready():
            assert self.popen.poll() is None, f"{self.name}: {self.output.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"{self.name} is not ready"
            time.sleep(0.05)
        return self

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def kill(self) -> None:
        """As a crash would."""
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()
            self.popen = None

    def stop(self) -> float:
        """Ask it to stop; returns how many seconds it took."""
        if self.popen is None:
            return 0.0
        began = time.monotonic()
        self.popen.terminate()
        try:
            self.popen.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self.popen = None
        return time.monotonic() - began

    def metrics(self, *, openmetrics: bool = False) -> str:
        """What /metrics answers."""
        accept = "application/openmetrics-text;version=1.0.0" if openmetrics else "text/plain"
        request = urllib.request.Request(f"{self.url}/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())

    def log(self) -> list[dict[str, Any]]:
        """Every whole line it printed."""
        lines = self.output.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


@dataclass
class ObservedSystem:
    """What the tests drive."""

    postgres: EmbeddedPostgres
    folder: Path
    processes: list[Process] = field(default_factory=list)

    def add(
        self, name: str, module: str, verb: str, port: int | None = None, /, **environ: str
    ) -> Process:
        """Start one more service, on a port of its own, which may have been chosen before."""
        port = port or free_port()
        prefix = module.upper()
        role = {"payments_api": "payments_api", "recon_worker": "payments_worker"}.get(module)
        database = {}
        if role:
            database["DATABASE_URL"] = self.postgres.url.replace("//postgres@", f"//{role}@")
        process = Process(
            name,
            [sys.executable, "-m", module, verb],
            {
                f"{prefix}_PORT": str(port),
                "PAYMENTS_API_AUTH": "off",
                "LOG_FORMAT": "json",
                **database,
                **environ,
            },
            port,
            self.folder / f"{name}.log",
        )
        self.processes.append(process)
        return process.start()

    def sql(self, text: str) -> str:
        """Run SQL as the superuser; the last answer as bare text."""
        command = [str(BIN / "psql"), self.postgres.url, "-XAtqv", "ON_ERROR_STOP=1", "-c", text]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@dataclass(frozen=True)
class Observed:
    """The system, every trace of it recorded, and where its spans go."""

    system: ObservedSystem
    api: Process
    worker: Process
    ui: Process
    otlp: OtlpEndpoint


@contextmanager
def observed_system(folder: Path, port: int | None = None) -> Iterator[ObservedSystem]:
    """A migrated Postgres; services are added by the tests, and ended here."""
    with running_postgres(port=port) as postgres:
        migrate = [sys.executable, "-m", "payments_api", "migrate"]
        environ = {**os.environ, "DATABASE_URL": postgres.url}
        subprocess.run(migrate, env=environ, check=True, timeout=120, stdout=subprocess.DEVNULL)
        system = ObservedSystem(postgres, folder)
        try:
            yield system
        finally:
            for process in reversed(system.processes):
                process.stop()
