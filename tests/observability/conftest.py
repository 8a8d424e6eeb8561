"""One observed system for all tests of this folder: it starts slowly, and they only read it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testkit.observability.observed_system import Observed, observed_system
from testkit.observability.otlp_endpoint import otlp_endpoint


@pytest.fixture(scope="session")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """Run the system: API and page send their spans by gRPC, the worker by HTTP."""
    folder: Path = tmp_path_factory.mktemp("observed")
    always = {"OTEL_TRACES_SAMPLER": "always_on"}
    with otlp_endpoint() as otlp, observed_system(folder) as system:
        grpc, http = otlp.environ("grpc"), otlp.environ("http/protobuf")
        api = system.add("api", "payments_api", "serve", **always, **grpc)
        worker = system.add(
            "worker",
            "recon_worker",
            "run",
            RECON_WORKER_AUDIT_INTERVAL_SECONDS="2",
            RECON_WORKER_LEASE_SECONDS="2",
            **always,
            **http,
        )
        ui = system.add("ui", "payments_ui", "serve", PAYMENTS_UI_API_URL=api.url, **always, **grpc)
        yield Observed(system, api, worker, ui, otlp)
