"""The component observability: compose's files and images, and one scrape of each pod."""

import json
import re
from typing import Any

import pytest
import yaml

from payments_local.settings import REPOSITORY
from testkit.deployments.k8s_manifests import (
    OBSERVING,
    OVERLAYS,
    Object,
    combination,
    one,
    overlay,
)

OBSERVABILITY = REPOSITORY / "observability"
SERVICES = ("payments-api", "recon-worker", "payments-ui")
OBJECTS = overlay("observability")


def compose() -> dict[str, Any]:
    """Return the services of compose's profile, each ${NAME:-default} replaced by the default."""
    text = (REPOSITORY / "deploy/compose/observability.yaml").read_text()
    services: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))[
        "services"
    ]
    return services


COMPOSE = compose()


def container(name: str) -> Object:
    (only,) = one(OBJECTS, "Deployment", name)["spec"]["template"]["spec"]["containers"]
    return dict(only)


def mounted_files(name: str) -> dict[str, str]:
    """Return the content of each file that the pod mounts from a ConfigMap, by its path."""
    pod = one(OBJECTS, "Deployment", name)["spec"]["template"]["spec"]
    paths = {mount["name"]: mount["mountPath"] for mount in container(name)["volumeMounts"]}
    found = {}
    for volume in pod["volumes"]:
        if "configMap" in volume:
            data = one(OBJECTS, "ConfigMap", volume["configMap"]["name"])["data"]
            items = volume["configMap"].get("items", [{"key": k, "path": k} for k in data])
            assert {item["key"] for item in items} == data.keys(), "a file is not mounted"
            for item in items:
                found[f"{paths[volume['name']]}/{item['path']}"] = data[item["key"]]
    return found


def test_compose_and_the_cluster_run_the_same_programs() -> None:
    assert COMPOSE.keys() == set(OBSERVING)
    for name, service in COMPOSE.items():
        assert container(name)["image"] == service["image"], name
        assert container(name).get("args") == service.get("command"), name
        limit = container(name)["resources"]["limits"]["memory"]
        assert limit.removesuffix("i").lower() == service["deploy"]["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", OBSERVING)
def test_the_cluster_mounts_the_files_of_compose(name: str) -> None:
    """At the same paths and with the same content, except for Prometheus' targets."""
    mounts = [m.split(":") for m in COMPOSE[name]["volumes"] if m.startswith("./observability")]
    found = mounted_files(name)
    assert found
    for path, content in found.items():
        (source,) = (
            REPOSITORY / folder / path.removeprefix(target + "/")
            for folder, target, _ in mounts
            if path.startswith(target + "/")
        )
        if source.name == "prometheus.yaml":
            source = source.with_name("kubernetes.yaml")
        assert content == source.read_text(), path


def test_grafana_has_the_settings_of_compose() -> None:
    (file,) = COMPOSE["grafana"]["env_file"]
    lines = (REPOSITORY / file).read_text().splitlines()
    (source,) = container("grafana")["envFrom"]
    settings = one(OBJECTS, "ConfigMap", source["configMapRef"]["name"])["data"]
    assert settings == dict(x.split("=", 1) for x in lines if not x.startswith("#"))


def prometheus(file: str) -> dict[str, Any]:
    return dict(yaml.safe_load((OBSERVABILITY / "prometheus" / file).read_text()))


def test_the_two_prometheus_files_differ_only_in_targets() -> None:
    ours, composes = prometheus("kubernetes.yaml"), prometheus("prometheus.yaml")
    assert [job["job_name"] for job in ours["scrape_configs"]] == [
        job["job_name"] for job in composes["scrape_configs"]
    ]
    for config in (ours, composes):
        config["scrape_configs"] = [j for j in config["scrape_configs"] if "static_configs" in j]
    assert ours == composes


def test_data_sources_and_exporter_use_existing_services_and_ports() -> None:
    served = {
        (item["metadata"]["name"], port["port"])
        for item in OBJECTS
        if item["kind"] == "Service"
        for port in item["spec"]["ports"]
    }
    files = json.dumps([mounted_files(name) for name in OBSERVING])
    settings = next(o for o in OBJECTS if o["metadata"]["name"].startswith("payments-settings"))
    files += json.dumps(settings)
    named = {
        (name, int(port))
        for name, port in re.findall(
            r"\b(prometheus|tempo|otel-collector|grafana):(\d{4})\b", files
        )
    }
    assert {("prometheus", 9090), ("tempo", 3200), ("tempo", 4317)} <= named
    assert {("otel-collector", 4318), ("otel-collector", 8888)} <= named
    assert named <= served


def pods_of(service: Object, objects: tuple[Object, ...]) -> str:
    """Return the name of the workload whose pods the Service selects."""
    (name,) = (
        item["metadata"]["name"]
        for item in objects
        if item["kind"] == "Deployment"
        and service["spec"]["selector"].items()
        <= item["spec"]["template"]["metadata"]["labels"].items()
    )
    return str(name)


def test_prometheus_scrapes_each_pod_once_on_its_control_port() -> None:
    jobs = prometheus("kubernetes.yaml")["scrape_configs"]
    scraped = []
    for job in jobs:
        for lookup in job.get("dns_sd_configs", ()):
            (name,) = lookup["names"]
            service = one(OBJECTS, "Service", name)
            # The headless Service resolves to every pod, including those that are not ready.
            assert service["spec"]["clusterIP"] == "None"
            assert service["spec"]["publishNotReadyAddresses"] is True
            (port,) = service["spec"]["ports"]
            assert (port["port"], port["name"]) == (lookup["port"], "control")
            assert pods_of(service, OBJECTS) == job["job_name"]
            scraped.append(job["job_name"])
    assert sorted(scraped) == sorted(SERVICES)


def monitored(objects: tuple[Object, ...]) -> list[str]:
    """Return each workload that a ServiceMonitor selects, once for each Service it selects."""
    return [
        pods_of(service, objects)
        for monitor in objects
        if monitor["kind"] == "ServiceMonitor"
        for service in objects
        if service["kind"] == "Service"
        and monitor["spec"]["selector"]["matchLabels"].items()
        <= service["metadata"]["labels"].items()
    ]


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_pod_is_scraped_twice(name: str) -> None:
    objects = overlay(name)
    by_operator = monitored(objects)
    own = [item for item in objects if item["metadata"]["name"] == "prometheus"]
    assert not (by_operator and own), "a pod is scraped by two Prometheus servers"
    assert len(by_operator) == len(set(by_operator))
    if name == "production":
        assert set(by_operator) == set(SERVICES)
    assert bool(own) == (name == "observability")


def test_a_sites_own_monitoring_and_this_one_are_exclusive() -> None:
    with pytest.raises(AssertionError, match="already registered id"):
        combination(("monitoring", "observability"))
    # No policy admits a Prometheus in the namespace `monitoring` that follows annotations.
    policy = one(OBJECTS, "NetworkPolicy", "metrics")
    assert "namespaceSelector" not in json.dumps(policy)


def test_only_a_port_forward_reaches_grafana() -> None:
    policy = one(OBJECTS, "NetworkPolicy", "grafana")["spec"]
    assert "Ingress" in policy["policyTypes"]
    assert "ingress" not in policy


def test_make_kind_applies_the_overlay_and_forwards_grafana() -> None:
    script = (REPOSITORY / "deploy/k8s/kind-up").read_text()
    assert "--kustomize deploy/k8s/overlays/observability" in script
    (port,) = re.findall(r'forward grafana "\$\{GRAFANA_PORT:-\d+\}:(\d+)"', script)
    (served,) = one(OBJECTS, "Service", "grafana")["spec"]["ports"]
    assert served["port"] == int(port)
    for name in OBSERVING:
        assert name in script
