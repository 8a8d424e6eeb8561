"""Manifests and compose.yaml set exactly the variables that the services read."""

import re
from pathlib import Path
from typing import Any, cast

import click
import pytest
import yaml
from pydantic_settings import BaseSettings

from payments_api import __main__ as api_cli
from payments_api.app import create_app
from payments_api.migrate_cli import PAGE_KEY, ROLE_PASSWORDS
from payments_api.settings import ApiSettings
from payments_core.config import LogSettings, variables_of
from payments_core.observability.tracing import TelemetrySettings
from payments_core.server.options import Lifecycle
from payments_local.settings import REPOSITORY
from payments_ui.app import create_app as create_page
from payments_ui.settings import Settings as PageSettings
from recon_worker import __main__ as worker_cli
from recon_worker.app import create_control_app
from recon_worker.settings import WorkerSettings
from recon_worker.worker.loop import Worker
from testkit.deployments.k8s_manifests import (
    OBSERVING,
    OVERLAYS,
    Workload,
    all_workloads,
    one,
    overlay,
)

ALL = [w for w in all_workloads() if w.name not in ("postgres", "backup", *OBSERVING)]
READS: dict[str, tuple[type[BaseSettings], ...]] = {
    "payments-api": (ApiSettings, LogSettings, TelemetrySettings),
    "recon-worker": (WorkerSettings, LogSettings, TelemetrySettings),
    "payments-ui": (PageSettings, LogSettings, TelemetrySettings),
}
# Variables that OpenTelemetry and asyncpg read.
READ_BY_LIBRARIES = {"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "PGSSLMODE", "PGSSLROOTCERT"}
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
    "PAYMENTS_UI_DOCS_URL": "the site's, where it serves these pages",
    "RECON_WORKER_STATEMENT_POLL_SECONDS": "the same everywhere",
    "RECON_WORKER_STATEMENT_BYTES_MAX": "a process's own bound",
    "PAYMENTS_UI_HOST": "the image's",
    "PAYMENTS_UI_PORT": "the image's EXPOSE, the manifests' containerPort",
    "PAYMENTS_UI_API_CA_FILE": "the API is asked over http, within the namespace",
    "PAYMENTS_UI_API_TIMEOUT_SECONDS": "the same everywhere",
    "PAYMENTS_UI_SIGN_IN_OFF_BEYOND_LOOPBACK": "a cluster's page asks who is there",
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


def variables(settings: type[BaseSettings]) -> set[str]:
    """Return the environment variables that the class reads."""
    return {variable.name for variable in variables_of(settings)}


def read_by(image: str, command: str) -> set[str]:
    """Return the variables that a command of an image reads."""
    found = set().union(*(variables(settings) for settings in READS[image]))
    if (image, command) == ("payments-api", "migrate"):
        given = (*ROLE_PASSWORDS.values(), PAGE_KEY)
        found |= {f"{name}{suffix}" for name in given for suffix in ("", "_FILE")}
    return found | READ_BY_LIBRARIES


def image_of(workload: Workload) -> str:
    return str(workload.container["image"].rsplit("/", 1)[-1].partition(":")[0])


def environment(workload: Workload) -> dict[str, str]:
    """Return the process's environment, with placeholders for secrets."""
    own = {
        item["name"]: item.get("value", "a secret of more than 16 characters")
        for item in workload.container.get("env", [])
    }
    if workload.container.get("envFrom"):
        (source,) = workload.container["envFrom"]
        objects = overlay(workload.overlay) if workload.overlay in OVERLAYS else None
        if objects:
            settings = one(objects, "ConfigMap", source["configMapRef"]["name"])
            return {**settings["data"], **own}
    return own


with_settings = pytest.mark.parametrize(
    "workload", [workload for workload in ALL if workload.name != "make-secrets"], ids=str
)


def check_values(
    image: str, values: dict[str, str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> list[BaseSettings]:
    """Parse the values with the image's settings; files are created in the folder."""
    (folder / "password").write_text("of a role")
    for name in set().union(*(variables(settings) for settings in READS[image])):
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        is_file = name.endswith("_FILE") or name == "PGSSLROOTCERT"
        monkeypatch.setenv(name, str(folder / "password") if is_file else value)
    return [settings() for settings in READS[image]]


@with_settings
def test_a_manifest_sets_only_variables_that_its_command_reads(workload: Workload) -> None:
    (command,) = workload.container["args"][:1]
    unknown = environment(workload).keys() - read_by(image_of(workload), command)
    assert not unknown, f"{workload} sets what nobody reads: {unknown}"


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


PORTS = {
    "payments-api": ApiSettings().port,
    "recon-worker": WorkerSettings().port,
    "payments-ui": PageSettings().port,
}


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


# --- compose --------------------------------------------------------------------------------------


def compose() -> dict[str, Any]:
    """Return deploy/compose/compose.yaml, with each ${NAME:-default} replaced by the default."""
    text = (REPOSITORY / "deploy" / "compose" / "compose.yaml").read_text()
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text).replace("$$", "$")
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


COMPOSE = compose()
OURS_IN_COMPOSE = ["payments-api", "recon-worker", "payments-ui", "migrate"]


@pytest.mark.parametrize("name", OURS_IN_COMPOSE)
def test_compose_sets_only_variables_that_the_services_read(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = COMPOSE[name]["image"].partition(":")[0]
    given = COMPOSE[name]["environment"]
    # Without a value, compose passes a variable on if it is set, and none otherwise.
    values = {key: str(value) for key, value in given.items() if value is not None}
    command = (COMPOSE[name].get("command") or ["serve"])[0]
    unknown = given.keys() - read_by(image, command)
    assert not unknown, f"compose's {name} sets what nobody reads: {unknown}"
    check_values(image, values, monkeypatch, tmp_path)


def test_images_exist_in_the_compose_build() -> None:
    built = {
        str(service["image"].partition(":")[0])
        for service in COMPOSE.values()
        if "build" in service
    }
    for workload in ALL:
        assert image_of(workload) in built, workload


def test_compose_and_the_cluster_run_the_same_postgres() -> None:
    container = one(overlay("local"), "StatefulSet", "postgres")["spec"]["template"]["spec"]
    assert container["containers"][0]["image"] == COMPOSE["postgres"]["image"]
    (container,) = container["containers"]
    backup = next(w for w in all_workloads() if (w.overlay, w.name) == ("local", "backup"))
    assert backup.container["image"] == container["image"]
    assert container["args"] == [str(part) for part in COMPOSE["postgres"]["command"]]


@pytest.mark.parametrize("service", sorted(PORTS))
def test_compose_probes_and_publishes_existing_ports(service: str) -> None:
    published = [str(p) for p in COMPOSE[service].get("ports", [])]
    published += [str(p) for p in COMPOSE["recon-worker-port"]["ports"]]
    assert any(port.endswith(f":{PORTS[service]}") for port in published)
    url = COMPOSE["payments-ui"]["environment"]["PAYMENTS_UI_API_URL"]
    assert url == f"http://payments-api:{PORTS['payments-api']}"


@pytest.mark.parametrize("service", sorted(PORTS))
def test_compose_and_the_cluster_limit_memory_alike(service: str) -> None:
    in_compose = COMPOSE[service]["deploy"]["resources"]["limits"]["memory"]
    for workload in ALL:
        if workload.name == service and workload.overlay == "local":
            limit = workload.container["resources"]["limits"]["memory"]
            assert limit.removesuffix("i").lower() == in_compose
