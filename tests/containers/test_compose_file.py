"""Rules for compose's files, checked without an engine."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "deploy/compose/compose.yaml"
OBSERVABILITY = ROOT / "deploy/compose/observability.yaml"
SERVICES: dict[str, Any] = {
    name: service
    for file in (COMPOSE, OBSERVABILITY)
    for name, service in yaml.safe_load(file.read_text())["services"].items()
}
ONE_SHOT = {"secrets", "migrate"}
LONG_RUNNING = sorted(SERVICES.keys() - ONE_SHOT)
PINNED = re.compile(r":-([a-z0-9./-]+:[a-z0-9.-]+@sha256:[0-9a-f]{64})\}")


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_has_minimal_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert "docker.sock" not in str(service.get("volumes", ""))


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_every_long_running_service_restarts_and_has_limits(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    limits = service["deploy"]["resources"]["limits"]
    assert {"memory", "pids"} <= limits.keys()


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_port_is_on_loopback_and_configurable(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z_]+_PORT:-\d+\}:\d+", port), port


@pytest.mark.parametrize(
    ("name", "drain"),
    [
        ("payments-api", "PAYMENTS_API_DRAIN_SECONDS"),
        ("recon-worker", "RECON_WORKER_DRAIN_SECONDS"),
    ],
)
def test_a_stop_waits_longer_than_the_drain(name: str, drain: str) -> None:
    service = SERVICES[name]
    assert seconds(service["stop_grace_period"]) > float(service["environment"][drain])


def test_only_the_migration_reads_the_owners_password() -> None:
    readers = {
        name
        for name, service in SERVICES.items()
        if any("secret-owner" in volume for volume in service.get("volumes", []))
    }
    assert readers == {"secrets", "postgres", "migrate"}


def test_the_file_contains_no_password() -> None:
    for service in SERVICES.values():
        for variable, value in (service.get("environment") or {}).items():
            if "PASSWORD" in variable:
                if variable.startswith("PAYMENTS_UI_"):  # From the caller's environment.
                    assert value in (None, f"${{{variable}:-}}")
                    continue
                assert variable.endswith("_FILE"), variable
                assert str(value).startswith("/run/secrets/")
            assert not re.search(r"://[^/@:]+:[^/@]+@", str(value)), variable


def test_compose_passes_on_every_variable_of_the_page_about_signing_in() -> None:
    """Else a user who follows the page would set it without effect."""
    text = (ROOT / "docs/operations/sign-in.md").read_text()
    named = set(re.findall(r"PAYMENTS_UI_[A-Z_]+", text))
    assert named <= SERVICES["payments-ui"]["environment"].keys()


def test_the_page_cannot_reach_the_database() -> None:
    assert SERVICES["payments-ui"]["networks"] == ["services"]
    assert SERVICES["postgres"]["networks"] == ["database"]


def test_grafana_has_no_user_with_write_access() -> None:
    """By default Grafana has a user admin with the password admin, also for its HTTP API."""
    (file,) = SERVICES["grafana"]["env_file"]
    lines = (ROOT / file).read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert settings["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert settings["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert settings["GF_AUTH_BASIC_ENABLED"] == "false"
    assert settings["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"


def test_prometheus_accepts_no_change_over_http() -> None:
    assert not [word for word in SERVICES["prometheus"]["command"] if word.startswith("--web.")]


def test_every_image_of_another_project_is_pinned_by_digest() -> None:
    for name, service in SERVICES.items():
        if "pull_policy" not in service and "build" not in service:
            assert PINNED.search(service["image"]), name


def test_compose_and_dockerfiles_pin_the_same_images_by_digest() -> None:
    pins = set(PINNED.findall(COMPOSE.read_text()))
    assert sorted(pin.partition(":")[0] for pin in pins) == ["postgres", "python"]
    for service in ("payments-api", "recon-worker", "payments-ui"):
        text = (ROOT / service / "Dockerfile").read_text()
        default = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", text, re.MULTILINE)
        assert default is not None
        assert default.group(1) in pins


def test_dockerfiles_differ_only_in_the_service() -> None:
    """A change of one of the three copies must be made in all."""
    recipes = set()
    for service, prefix, port, command in (
        ("payments-api", "PAYMENTS_API", "3001", "serve"),
        ("recon-worker", "RECON_WORKER", "3002", "run"),
        ("payments-ui", "PAYMENTS_UI", "3000", "serve"),
    ):
        text = (ROOT / service / "Dockerfile").read_text()
        text = re.sub(r"^# .*Build from the root.*$", "", text, flags=re.MULTILINE)
        text = re.sub(r'description="[^"]*"', "", text)
        text = text.replace(f'CMD ["{command}"]', "CMD").replace(port, "PORT")
        recipes.add(text.replace(service, "SERVICE").replace(prefix, "PREFIX"))
    assert len(recipes) == 1
