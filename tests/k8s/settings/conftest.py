"""The variables that each image reads, and the ports on which it listens."""

from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from payments_api.migrate_cli import PAGE_KEY, ROLE_PASSWORDS
from payments_api.settings import ApiSettings
from payments_core.config import LogSettings, variables_of
from payments_core.observability.tracing import TelemetrySettings
from payments_ui.settings import Settings as PageSettings
from recon_worker.settings import WorkerSettings
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


PORTS = {
    "payments-api": ApiSettings().port,
    "recon-worker": WorkerSettings().port,
    "payments-ui": PageSettings().port,
}
