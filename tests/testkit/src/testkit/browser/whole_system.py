"""The whole system as processes: Postgres, API, worker and page, each on its own port.

The page reaches the API through a TCP proxy that tests can delay or cut.
"""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from payments_local.ports import free_port
from payments_local.postgres import BIN
from testkit.deployments.service_process import ServiceProcess
from testkit.network.tcp_proxy import TcpProxy
from testkit.worker.own_system import migrated_postgres, run_migration

TRACE_URL = "https://traces.example/trace/{trace_id}"


@dataclass
class WholeSystem:
    """The system under test."""

    database_url: str
    api: ServiceProcess
    worker: ServiceProcess
    ui: ServiceProcess
    proxy: TcpProxy
    api_key: str | None = None  # The page's own key, if the API requires keys.
    services: list[ServiceProcess] = field(init=False)

    def __post_init__(self) -> None:
        self.services = [self.api, self.worker, self.ui]

    @property
    def url(self) -> str:
        """Return the page's address."""
        return f"http://127.0.0.1:{self.ui.port}"

    @property
    def api_url(self) -> str:
        """Return the API's address, without the proxy."""
        return f"http://127.0.0.1:{self.api.port}"

    def sql(self, text: str) -> str:
        """Run SQL as the superuser; return the last result as text."""
        command = [str(BIN / "psql"), self.database_url, "-XAtqv", "ON_ERROR_STOP=1", "-c", text]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def guarded_page(system: WholeSystem, folder: Path, environ: Mapping[str, str]) -> ServiceProcess:
    """Return another page on the same API, not started yet, that requires sign-in."""
    port = free_port()
    environ = {
        "PAYMENTS_UI_API_URL": system.api_url,
        "PAYMENTS_UI_PUBLIC_URL": f"http://127.0.0.1:{port}",
        **_page_key(system.api_key),
        **environ,
    }
    log = folder / "guarded-page.log"
    return ServiceProcess("payments_ui", "serve", log, port, environ)


def _page_key(api_key: str | None) -> dict[str, str]:
    return {} if api_key is None else {"PAYMENTS_UI_API_KEY": api_key}


@contextmanager
def whole_system(folder: Path, api_key: str | None = None) -> Iterator[WholeSystem]:
    """Run a migrated Postgres and the services while the block runs.

    With `api_key`, the API requires keys, and the page uses this one.
    """
    with migrated_postgres() as postgres:
        if api_key is not None:  # A migration adds it to the API's keys.
            run_migration(postgres.url, **_page_key(api_key))
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

    def service(name: str, command: str, environ: Mapping[str, str]) -> ServiceProcess:
        environ = {**environ, "OTEL_TRACES_SAMPLER": "always_on"}  # Without an exporter.
        module, log = name.replace("-", "_"), folder / f"{name}.log"
        return ServiceProcess(module, command, log, free_port(), environ)

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
