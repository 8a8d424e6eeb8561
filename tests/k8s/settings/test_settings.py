"""Manifests set exactly the variables that the services read."""

import re
from pathlib import Path
from typing import cast

import click
import pytest

from payments_api import __main__ as api_cli
from payments_api.app import create_app
from payments_api.settings import ApiSettings
from payments_core.server.options import Lifecycle
from payments_local.settings import REPOSITORY
from payments_ui.app import create_app as create_page
from payments_ui.settings import Settings as PageSettings
from recon_worker import __main__ as worker_cli
from recon_worker.app import create_control_app
from recon_worker.settings import WorkerSettings
from recon_worker.worker.loop import Worker
from testkit.deployments.k8s_manifests import (
    OVERLAYS,
    Workload,
)

from .conftest import ALL, PORTS, READS, check_values, environment, image_of, read_by, variables

# Settings that no manifest sets, because their defaults are right on a cluster too. A new setting
# belongs either here or in a manifest.
DEFAULT_IS_RIGHT = {
    "PG_PORT": "every manifest sets DATABASE_URL",
    "PAYMENTS_API_HOST": "the image's: every address of the container",
    "PAYMENTS_API_PORT": "the image's EXPOSE, the manifests' containerPort",
    "PAYMENTS_API_POOL_SIZE": "autoscaling counts on it: see test_scaling",
    "PAYMENTS_API_INSERT_CONCURRENCY": "measured: see docs/scale.md",
    "PAYMENTS_API_CREATE_QUEUE_MAX": "a process's own bound, whatever runs it",
    "PAYMENTS_API_REUSE_PORT": "one process in each container",
    "PAYMENTS_API_CONNECTIONS_MAX": "a process's own bound",
    "PAYMENTS_UI_CONNECTIONS_MAX": "a process's own bound",
    "PAYMENTS_API_REQUESTS_MAX": "a process's own bound",
    "PAYMENTS_API_LATENCY_TARGET_SECONDS": "the same everywhere",
    "PAYMENTS_API_EVENT_READERS_MAX": "a process's own bound",
    "PAYMENTS_API_EVENT_READERS_PER_ADDRESS_MAX": "a process's own bound",
    "PAYMENTS_API_EVENT_READERS_PER_KEY_MAX": "a process's own bound",
    "PAYMENTS_API_RATE_LIMIT_PER_KEY": "the site's: it knows its clients",
    "PAYMENTS_API_RATE_LIMIT_PER_ADDRESS": "the ingress sees the clients, the API the page",
    "PAYMENTS_API_RATE_LIMIT_EXEMPT": "nobody is limited",
    "PAYMENTS_API_TRUSTED_PROXIES": "the API is asked by the page, not by a proxy",
    "PAYMENTS_API_FORWARDED_HEADER": "no proxy is trusted",
    "PAYMENTS_API_CURSOR_KEY": "derived from DATABASE_URL and password, which replicas share",
    "PAYMENTS_API_ALLOW_UNAUTHENTICATED_REMOTE": "every overlay asks for keys",
    "PAYMENTS_API_ALLOWED_HOSTS": "with keys, a service answers for every name",
    "RECON_WORKER_HOST": "the image's",
    "RECON_WORKER_ROLES": "both, until webhooks need replicas of their own",
    "RECON_WORKER_WEBHOOK_CONCURRENCY": "a process's own bound",
    "RECON_WORKER_WEBHOOK_LOOPBACK": "a pod has no receiver beside it",
    "RECON_WORKER_PORT": "the image's EXPOSE, the manifests' containerPort",
    "RECON_WORKER_BATCH_SIZE": "measured",
    "RECON_WORKER_CONCURRENCY": "more replicas instead",
    "RECON_WORKER_LEASE_SECONDS": "how soon another takes over: the same everywhere",
    "RECON_WORKER_RESCUE_INTERVAL_SECONDS": "the same everywhere",
    "RECON_WORKER_POLL_SECONDS_MIN": "the same everywhere",
    "RECON_WORKER_POLL_FALLBACK_SECONDS": "the same everywhere",
    "RECON_WORKER_CLEARING_SHARDS": "measured",
    "RECON_WORKER_RETENTION_DAYS": "the same everywhere",
    "RECON_WORKER_SEAL_INTERVAL_SECONDS": "the same everywhere",
    "RECON_WORKER_SEAL_VERIFY_ENTRIES_PER_SECOND": "a small share of one core, whatever runs it",
    "RECON_WORKER_SEAL_KEY_FILE": "the site's secret: see docs/operations/kubernetes.md",
    "PAYMENTS_API_STATEMENT_BYTES_MAX": "a process's own bound",
    "PAYMENTS_API_STATEMENT_DAY_BYTES_MAX": "the same everywhere",
    "PAYMENTS_API_STATEMENT_DAY_FILES_MAX": "the same everywhere",
    "PAYMENTS_UI_DOCS_URL": "the site's, where it serves these pages",
    "RECON_WORKER_STATEMENT_POLL_SECONDS": "the same everywhere",
    "RECON_WORKER_STATEMENT_BYTES_MAX": "a process's own bound",
    "PAYMENTS_UI_HOST": "the image's",
    "PAYMENTS_UI_PORT": "the image's EXPOSE, the manifests' containerPort",
    "PAYMENTS_UI_API_CA_FILE": "the API is asked over http, within the namespace",
    "PAYMENTS_UI_API_TIMEOUT_SECONDS": "the same everywhere",
    "PAYMENTS_UI_ALLOW_UNAUTHENTICATED_REMOTE": "a cluster's page asks who is there",
    "PAYMENTS_UI_ALLOWED_HOSTS": "with sign-in, the page answers for every name",
    "PAYMENTS_UI_SESSION_IDLE_MINUTES": "the same everywhere",
    "PAYMENTS_UI_SESSION_HOURS": "the same everywhere",
    "PAYMENTS_UI_TRUSTED_PROXIES": "the site's: it knows where its ingress has its pods",
    "PAYMENTS_UI_FORWARDED_HEADER": "no proxy is trusted",
    "PAYMENTS_UI_PASSWORD_USER": "the one user is called operator",
    "PAYMENTS_UI_PASSWORD_HASH": "a cluster's secret is random already",
    "PAYMENTS_UI_OIDC_NAME": "the site's",
    "PAYMENTS_UI_OIDC_SCOPES": "the site's, where its provider wants others",
    "PAYMENTS_UI_OIDC_ALGORITHMS": "what good providers use",
    "PAYMENTS_UI_OIDC_NAME_CLAIM": "the site's",
    "PAYMENTS_UI_OIDC_ROLE_CLAIM": "the site's",
    "PAYMENTS_UI_OIDC_CLOCK_SKEW_SECONDS": "the same everywhere",
    "PAYMENTS_UI_OIDC_TIMEOUT_SECONDS": "the same everywhere",
    "PAYMENTS_UI_TRACE_URL": "the site's, where it has a trace UI",
    "PAYMENTS_UI_LIVE_INTERVAL_SECONDS": "the same everywhere",
    "PAYMENTS_UI_LIVE_PAGES_MAX": "a process's own bound",
}
with_settings = pytest.mark.parametrize(
    "workload", [workload for workload in ALL if workload.name != "make-secrets"], ids=str
)


@with_settings
def test_a_manifest_sets_only_variables_that_its_command_reads(workload: Workload) -> None:
    (command,) = workload.container["args"][:1]
    unknown = environment(workload).keys() - read_by(image_of(workload), command)
    assert not unknown, f"{workload} sets unknown variables: {unknown}"


@with_settings
def test_the_services_accept_the_manifests_values(
    workload: Workload, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read = check_values(image_of(workload), environment(workload), monkeypatch, tmp_path)
    for settings in read:
        if isinstance(settings, ApiSettings | WorkerSettings):
            assert settings.database_password_file is not None


def test_the_api_requires_keys_in_every_overlay() -> None:
    asked = [environment(w).get("PAYMENTS_API_AUTH") for w in ALL if w.name == "payments-api"]
    assert len(asked) >= len(OVERLAYS)
    assert set(asked) == {"on"}


def test_every_setting_is_set_or_listed_as_a_right_default() -> None:
    set_by_us = {name for workload in ALL for name in environment(workload)}
    read = set().union(*(variables(s) for several in READS.values() for s in several))
    own = {name for name in read if not name.startswith("OTEL_")}
    assert own - set_by_us - DEFAULT_IS_RIGHT.keys() == set()
    assert DEFAULT_IS_RIGHT.keys() - own == set(), "no longer settings"
    assert DEFAULT_IS_RIGHT.keys() & set_by_us == set(), "set after all"


def parse(program: click.Group, arguments: list[str]) -> None:
    """Parse the arguments of a program and of its command. Raises click.UsageError."""
    context = program.make_context(program.name, list(arguments))
    name, command, rest = program.resolve_command(context, arguments)
    assert command is not None
    command.make_context(name, rest, parent=context)


@with_settings
def test_a_containers_command_exists(workload: Workload) -> None:
    arguments = workload.container["args"]
    match image_of(workload):
        case "payments-api":
            parse(api_cli.program, arguments)
        case "recon-worker":
            parse(worker_cli.program, arguments)
        case "payments-ui":
            assert arguments == ["serve"]


@with_settings
def test_a_password_file_is_a_mounted_secret(workload: Workload) -> None:
    mounts = {m["mountPath"]: m["name"] for m in workload.container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in workload.pod["volumes"]}
    for name, value in environment(workload).items():
        if name.endswith("_PASSWORD_FILE") or name == "PGSSLROOTCERT":
            file = Path(value)
            assert file.name in ("password", "ca.crt")
            assert "secret" in volumes[mounts[str(file.parent)]], f"{workload}: {name}"


def routes(service: str) -> set[str]:
    """Return the paths that the service's code serves."""
    if service == "payments-api":
        app = create_app(ApiSettings())
    elif service == "recon-worker":
        app = create_control_app(cast("Worker", None), Lifecycle())
    else:
        app = create_page(PageSettings())
    return {rule.rule for rule in app.url_map.iter_rules()}


@pytest.mark.parametrize("service", sorted(PORTS))
def test_probes_use_existing_paths_and_ports(service: str) -> None:
    paths = routes(service)
    for workload in ALL:
        if workload.name != service:
            continue
        ports = {port["name"]: port["containerPort"] for port in workload.container["ports"]}
        # The worker has only the control port.
        assert ports.get("http", ports["control"]) == PORTS[service]
        for name in ("liveness", "readiness"):
            probe = workload.container[f"{name}Probe"]["httpGet"]
            assert probe["path"] in paths
            assert probe["port"] == "control"
        annotations = workload.template["metadata"]["annotations"]
        assert annotations["prometheus.io/path"] in paths
        assert annotations["prometheus.io/port"] == str(ports["control"])


@pytest.mark.parametrize("service", sorted(PORTS))
def test_an_image_listens_on_the_manifests_ports(service: str) -> None:
    dockerfile = (REPOSITORY / service / "Dockerfile").read_text()
    prefix = service.upper().replace("-", "_")
    assert re.search(rf"\b{prefix}_HOST=0\.0\.0\.0\b", dockerfile)
    assert re.search(rf"^EXPOSE {PORTS[service]}$", dockerfile, re.M)
    assert re.search(r"^USER 10001:10001$", dockerfile, re.M)
