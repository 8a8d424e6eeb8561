"""Availability: replicas, spread, disruption budgets, rollouts, room on a node."""

from typing import Any

import pytest

from testkit.deployments.k8s_manifests import (
    OBSERVING,
    Object,
    Workload,
)

from .conftest import ALL, SERVING, every_server, every_service_of_ours, objects_of, quantity

REPLICATED = [w for w in SERVING if w.name not in OBSERVING]


def of_kind(workload: Workload, kind: str) -> list[Object]:
    """Return the objects of that kind whose selector matches the workload's pods."""
    labels = workload.template["metadata"]["labels"]
    return [
        item
        for item in objects_of(workload)
        if item["kind"] == kind
        and item["spec"]["selector"].get("matchLabels", {}).items() <= labels.items()
    ]


every_replicated_server = pytest.mark.parametrize("workload", REPLICATED, ids=str)


@every_server
def test_a_disruption_budget_allows_one_pod_and_never_blocks_a_node(workload: Workload) -> None:
    (budget,) = of_kind(workload, "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@every_replicated_server
def test_replicas_spread_over_zones_and_nodes(workload: Workload) -> None:
    spread = workload.pod["topologySpreadConstraints"]
    keys = {item["topologyKey"] for item in spread}
    assert "topology.kubernetes.io/zone" in keys
    if workload.name != "postgres":  # Has one replica, placed away from its clients.
        assert "kubernetes.io/hostname" in keys
    labels = workload.template["metadata"]["labels"]
    for item in spread:
        assert item["labelSelector"]["matchLabels"].items() <= labels.items()
    affinity = workload.pod["affinity"]["podAntiAffinity"]
    assert affinity["preferredDuringSchedulingIgnoredDuringExecution"]


@every_service_of_ours
def test_a_pod_is_replaced_30_s_after_its_node_is_lost(workload: Workload) -> None:
    assert workload.pod["tolerations"] == [
        {
            "key": f"node.kubernetes.io/{state}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 30,
        }
        for state in ("not-ready", "unreachable")
    ]


@every_service_of_ours
def test_a_rollout_never_has_less_than_all_replicas(workload: Workload) -> None:
    spec = workload.object["spec"]
    assert spec["strategy"]["type"] == "RollingUpdate"
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert spec["minReadySeconds"] >= 5
    assert spec["progressDeadlineSeconds"] >= 300
    assert spec["revisionHistoryLimit"] <= 5


@every_service_of_ours
def test_a_server_has_two_replicas_or_a_scaler(workload: Workload) -> None:
    scalers = [
        item
        for item in objects_of(workload)
        if item["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
        and item["spec"]["scaleTargetRef"]["name"] == workload.name
    ]
    replicas = workload.object["spec"].get("replicas")
    assert len(scalers) <= 1
    # Applying a number again would override the scaler.
    assert (replicas is None) if scalers else (replicas >= 2)


@every_server
def test_a_service_uses_the_names_of_a_servers_ports(workload: Workload) -> None:
    labels = workload.template["metadata"]["labels"]
    services = [
        item
        for item in objects_of(workload)
        if item["kind"] == "Service" and item["spec"]["selector"].items() <= labels.items()
    ]
    (service,) = (s for s in services if not s["metadata"]["name"].endswith("-pods"))
    assert service["metadata"]["name"] == workload.name
    ports = {port["name"]: port["containerPort"] for port in workload.container["ports"]}
    for service in services:
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]
        assert service["spec"].get("type", "ClusterIP") == "ClusterIP"


def selectors(item: Object) -> list[dict[str, Any]]:
    return [item["spec"]["selector"]["matchLabels"]]


@every_server
def test_selectors_contain_nothing_that_a_release_changes(workload: Workload) -> None:
    """Neither a selector nor a StatefulSet's claims can be changed."""
    (selector,) = selectors(workload.object)
    assert selector == {"app.kubernetes.io/name": workload.name}
    for claim in workload.object["spec"].get("volumeClaimTemplates", []):
        assert "app.kubernetes.io/version" not in claim["metadata"].get("labels", {})


ONE_NODE = {"cpu": 3.5, "memory": quantity("3Gi")}  # The free part of one of 4 cores and 4 GiB.


@pytest.mark.parametrize("name", ["local", "airgap", "observability"])
def test_a_release_fits_on_one_node(name: str) -> None:
    """With the surge of every rollout, the migration and each nightly Job at the same time."""
    asked = dict.fromkeys(ONE_NODE, 0.0)
    for workload in (each for each in ALL if each.overlay == name):
        spec = workload.object["spec"]
        surge = spec.get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", 0)
        for resource in asked:
            amount = quantity(workload.container["resources"]["requests"][resource])
            asked[resource] += amount * (spec.get("replicas", 1) + surge)
    for resource, free in ONE_NODE.items():
        assert asked[resource] <= free, f"{resource}: {asked[resource]}"
