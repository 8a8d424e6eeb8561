"""compose.yaml sets the variables that the services read, and agrees with the manifests."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from payments_local.settings import REPOSITORY
from testkit.deployments.k8s_manifests import (
    all_workloads,
    one,
    overlay,
)

from .conftest import ALL, PORTS, check_values, image_of, read_by


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
    assert not unknown, f"compose's {name} sets unknown variables: {unknown}"
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
