"""The whole system as processes: Postgres, API, worker and page, each with its own port.

Between the page and the API stands a TCP proxy that can be slowed down or cut.
"""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError

from payments_local.ports import free_port
from payments_local.postgres import BIN, running_postgres
from testkit.network.tcp_proxy import TcpProxy

READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
TRACE_URL = "https://traces.example/trace/{trace_id}"


@dataclass
class Service:
    """One process of ours; it comes back on the same port."""

    name: str
    command: list[str]
    environ: Mapping[str, str]
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env={**os.environ, **self.environ}, stdout=log, stderr=log
            )
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not self.is_ready():
            assert self.process.poll() is None, f"{self.name} ended: {self.log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"{self.name} is not ready"
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Whether /readyz answers 200."""
        try:
            url = f"http://127.0.0.1:{self.port}/readyz"
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def stop(self) -> None:
        """Ask it to stop and wait until it has."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


@dataclass
class WholeSystem:
    """What the tests drive."""

    database_url: str
    api: Service
    worker: Service
    ui: Service
    proxy: TcpProxy
    api_key: str | None = None  # The page's own, where the API asks for keys.
    services: list[Service] = field(init=False)

    def __post_init__(self) -> None:
        self.services = [self.api, self.worker, self.ui]

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.ui.port}"

    @property
    def api_url(self) -> str:
        """Where the API is, past the proxy."""
        return f"http://127.0.0.1:{self.api.port}"

    def sql(self, text: str) -> str:
        """Run SQL as the superuser; the last answer as bare text."""
        command = [str(BIN / "psql"), self.database_url, "-XAtqv", "ON_ERROR_STOP=1", "-c", text]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def guarded_page(system: WholeSystem, folder: Path, environ: Mapping[str, str]) -> Service:
    """Another page on the same API, not started yet, whose visitors have to sign in."""
    port = free_port()
    environ = {
        "PAYMENTS_UI_PORT": str(port),
        "PAYMENTS_UI_API_URL": system.api_url,
        "PAYMENTS_UI_PUBLIC_URL": f"http://127.0.0.1:{port}",
        **_page_key(system.api_key),
        **environ,
    }
    command = [sys.executable, "-m", "payments_ui", "serve"]
    return Service("guarded-page", command, environ, port, folder / "guarded-page.log")


def _page_key(api_key: str | None) -> dict[str, str]:
    return {} if api_key is None else {"PAYMENTS_UI_API_KEY": api_key}


@contextmanager
def whole_system(folder: Path, api_key: str | None = None) -> Iterator[WholeSystem]:
    """Postgres, migrated, and the services on it, until the block ends.

    With `api_key` the API asks everybody for a key, and that one is the page's.
    """
    with running_postgres() as postgres:
        migrate = [sys.executable, "-m", "payments_api", "migrate"]
        environ = {**os.environ, "DATABASE_URL": postgres.url, **_page_key(api_key)}
        subprocess.run(migrate, env=environ, check=True, timeout=120)
        system = _services(postgres.url, folder, api_key)
        try:
            for service in system.services:
                service.start()
            yield system
        finally:
            for service in reversed(system.services):
                service.stop()
            system.proxy.close()


def _services(database_url: str, folder: Path, api_key: str | None) -> WholeSystem:
    def as_role(role: str) -> str:
        return database_url.replace("//postgres@", f"//{role}@")

    def service(name: str, command: str, environ: Mapping[str, str]) -> Service:
        environ = {**environ, "OTEL_TRACES_SAMPLER": "always_on"}  # Exported nowhere.
        port = free_port()
        prefix = name.upper().replace("-", "_")
        return Service(
            name,
            [sys.executable, "-m", name.replace("-", "_"), command],
            {f"{prefix}_PORT": str(port), **environ},
            port,
            folder / f"{name}.log",
        )

    api = service(
        "payments-api",
        "serve",
        {
            "DATABASE_URL": as_role("payments_api"),
            "PAYMENTS_API_AUTH": "off" if api_key is None else "on",
        },
    )
    worker = service("recon-worker", "run", {"DATABASE_URL": as_role("payments_worker")})
    proxy = TcpProxy(api.port)
    ui = service(
        "payments-ui",
        "serve",
        {
            "PAYMENTS_UI_API_URL": f"http://127.0.0.1:{proxy.port}",
            "PAYMENTS_UI_API_TIMEOUT_SECONDS": "2",
            "PAYMENTS_UI_TRACE_URL": TRACE_URL,
            **_page_key(api_key),
        },
    )
    return WholeSystem(database_url, api, worker, ui, proxy, api_key)
