"""API, worker and page as processes on their own Postgres, with their logs and metrics."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from payments_local.ports import free_port
from payments_local.postgres import BIN, EmbeddedPostgres
from testkit.deployments.service_process import ServiceProcess
from testkit.observability.otlp_endpoint import OtlpEndpoint
from testkit.worker.own_system import migrated_postgres


@dataclass
class Process(ServiceProcess):
    """One service; its log holds one JSON object per line."""

    def metrics(self, *, openmetrics: bool = False) -> str:
        """Return the answer of /metrics."""
        accept = "application/openmetrics-text;version=1.0.0" if openmetrics else "text/plain"
        request = urllib.request.Request(f"{self.url}/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())

    def events(self) -> list[dict[str, Any]]:
        """Return every complete line of its log."""
        lines = self.log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


@dataclass
class ObservedSystem:
    """The system under test."""

    postgres: EmbeddedPostgres
    folder: Path
    processes: list[Process] = field(default_factory=list)

    def add(
        self, name: str, module: str, verb: str, port: int | None = None, /, **environ: str
    ) -> Process:
        """Start one more service, on a free port or on the given one."""
        port = port or free_port()
        role = {"payments_api": "payments_api", "recon_worker": "payments_worker"}.get(module)
        database = {}
        if role:
            database["DATABASE_URL"] = self.postgres.url.replace("//postgres@", f"//{role}@")
        environ = {"PAYMENTS_API_AUTH": "off", "LOG_FORMAT": "json", **database, **environ}
        log = self.folder / f"{name}.log"
        process = Process(module, verb, log, port, environ)
        self.processes.append(process)
        return process.start()

    def sql(self, text: str) -> str:
        """Run SQL as the superuser; return the last result as text."""
        command = [str(BIN / "psql"), self.postgres.url, "-XAtqv", "ON_ERROR_STOP=1", "-c", text]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@dataclass(frozen=True)
class Observed:
    """The system with every trace recorded, and the receiver of its spans."""

    system: ObservedSystem
    api: Process
    worker: Process
    ui: Process
    otlp: OtlpEndpoint


@contextmanager
def observed_system(folder: Path, port: int | None = None) -> Iterator[ObservedSystem]:
    """Run a migrated Postgres; stop at the end the services that tests added."""
    with migrated_postgres(port) as postgres:
        system = ObservedSystem(postgres, folder)
        try:
            yield system
        finally:
            for process in reversed(system.processes):
                process.stop()
