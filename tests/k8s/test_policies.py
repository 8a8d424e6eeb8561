"""Each rule for workloads is a test over all of them, so a new workload must follow every rule."""

import json
import re
from typing import Any

import pytest

from testkit.deployments.k8s_manifests import (
    FULLEST,
    OBSERVING,
    OVERLAYS,
    Object,
    Workload,
    all_workloads,
    combination,
    overlay,
)

ALL = all_workloads()
SERVING = [workload for workload in ALL if workload.serves]
REPLICATED = [w for w in SERVING if w.name not in OBSERVING]
OURS = [w for w in SERVING if w.name in ("payments-api", "recon-worker", "payments-ui")]
# The one workload that speaks to Kubernetes, with a token of ten minutes that may only create.
USES_KUBERNETES_API = {"make-secrets"}


def objects_of(workload: Workload) -> tuple[Object, ...]:
    in_overlay = workload.overlay in OVERLAYS
    return overlay(workload.overlay) if in_overlay else combination(FULLEST)


def of_kind(workload: Workload, kind: str) -> list[Object]:
    """The objects of that kind whose selector takes the workload's pods."""
    labels = workload.template["metadata"]["labels"]
    return [
        item
        for item in objects_of(workload)
        if item["kind"] == kind
        and item["spec"]["selector"].get("matchLabels", {}).items() <= labels.items()
    ]


def quantity(text: str | int) -> float:
    """Kubernetes' "250m", "1Gi", "2" as a number: cores or bytes."""
    match = re.fullmatch(r"([0-9.]+)(m|Ki|Mi|Gi|Ti)?", str(text))
    assert match, text
    factor = {None: 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}[match[2]]
    return float(match[1]) * factor


every_workload = pytest.mark.parametrize("workload", ALL, ids=str)
every_server = pytest.mark.parametrize("workload", SERVING, ids=str)
every_replicated_server = pytest.mark.parametrize("workload", REPLICATED, ids=str)
every_service_of_ours = pytest.mark.parametrize("workload", OURS, ids=str)


def test_there_are_workloads_to_look_at() -> None:
    names = {workload.name for workload in ALL}
    assert {"payments-api", "recon-worker", "payments-ui", "migrate", "postgres"} <= names
    assert set(OBSERVING) <= names


@every_workload
def test_it_has_the_recommended_labels(workload: Workload) -> None:
    labels = workload.object["metadata"]["labels"]
    pods = workload.template["metadata"]["labels"]
    names = ["name", "instance", "component", "part-of", "managed-by"]
    # Of another project's, the image says which version it is.
    names += ["version"] if workload.name not in ("postgres", *OBSERVING) else []
    for name in names:
        assert labels.get(f"app.kubernetes.io/{name}"), name
        assert pods.get(f"app.kubernetes.io/{name}") == labels[f"app.kubernetes.io/{name}"]


@every_workload
def test_its_pod_keeps_to_the_restricted_standard(workload: Workload) -> None:
    context, pod = workload.pod["securityContext"], workload.pod
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["runAsGroup"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & pod.keys()
    kinds = {key for volume in pod.get("volumes", []) for key in volume if key != "name"}
    assert kinds <= {"secret", "configMap", "emptyDir", "projected", "persistentVolumeClaim"}


@every_workload
def test_its_container_can_do_nothing_but_its_work(workload: Workload) -> None:
    assert workload.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not workload.pod.get("initContainers"), "cover them in these rules first"
    assert not [port for port in workload.container.get("ports", []) if "hostPort" in port]


@every_workload
def test_what_it_may_write_is_bounded(workload: Workload) -> None:
    for volume in workload.pod.get("volumes", []):
        if "emptyDir" in volume:
            assert volume["emptyDir"].get("sizeLimit"), volume
        if "secret" in volume:
            assert volume["secret"]["defaultMode"] == 0o440, volume
    for mount in workload.container.get("volumeMounts", []):
        if mount["mountPath"].startswith("/run/secrets"):
            assert mount["readOnly"] is True, mount


@every_workload
def test_it_asks_for_resources_and_is_limited(workload: Workload) -> None:
    resources = workload.container["resources"]
    for name in ("cpu", "memory", "ephemeral-storage"):
        asked, most = resources["requests"][name], resources["limits"][name]
        assert 0 < quantity(asked) <= quantity(most), name
    for volume in workload.pod.get("volumes", []):
        if volume.get("emptyDir", {}).get("medium") != "Memory" and "emptyDir" in volume:
            most = resources["limits"]["ephemeral-storage"]
            assert quantity(volume["emptyDir"]["sizeLimit"]) <= quantity(most)


@every_workload
def test_it_has_an_account_of_its_own_without_a_token(workload: Workload) -> None:
    account = workload.pod["serviceAccountName"]
    assert account == workload.name
    assert workload.pod["automountServiceAccountToken"] is False
    (found,) = (
        item
        for item in objects_of(workload)
        if item["kind"] == "ServiceAccount" and item["metadata"]["name"] == account
    )
    assert found["automountServiceAccountToken"] is False
    token = "serviceAccountToken" in json.dumps(workload.pod.get("volumes", []))
    assert token == (workload.name in USES_KUBERNETES_API)


@every_workload
def test_services_do_not_become_its_environment(workload: Workload) -> None:
    """Else the Service payments-api would set PAYMENTS_API_PORT=tcp://..., which is a setting."""
    assert workload.pod["enableServiceLinks"] is False


@every_workload
def test_it_has_a_priority_and_a_grace(workload: Workload) -> None:
    # Payments before observing them.
    expected = None if workload.name in OBSERVING else "payments"
    assert workload.pod.get("priorityClassName") == expected
    assert workload.pod["terminationGracePeriodSeconds"] >= 5
    classes = [item for item in objects_of(workload) if item["kind"] == "PriorityClass"]
    assert [item["metadata"]["name"] for item in classes] == ["payments"]


@every_workload
def test_its_image_is_of_one_release(workload: Workload) -> None:
    image = workload.container["image"]
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    assert tag, f"{image} has no tag"
    assert not tag.startswith("latest")
    assert workload.container["imagePullPolicy"] == "IfNotPresent"


@every_workload
def test_a_job_ends_and_stays(workload: Workload) -> None:
    if workload.serves:
        return
    spec = workload.object["spec"]
    if workload.kind == "CronJob":
        assert spec["concurrencyPolicy"] == "Forbid"
        assert spec["startingDeadlineSeconds"] > 0
        spec = spec["jobTemplate"]["spec"]
    else:
        # One that vanished would run again at the next apply.
        assert "ttlSecondsAfterFinished" not in spec
        assert re.fullmatch(
            r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", workload.object["metadata"]["name"]
        )
    assert spec["activeDeadlineSeconds"] > 0
    assert spec["backoffLimit"] >= 0
    assert workload.pod["restartPolicy"] in ("Never", "OnFailure")


@every_server
def test_it_has_three_probes_with_sane_bounds(workload: Workload) -> None:
    startup, live, ready = (
        workload.container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")
    )
    for probe in (startup, live, ready):
        assert 3 <= probe["timeoutSeconds"] <= 10, probe
        assert probe["periodSeconds"] <= 10, probe
    # A minute to start at least; half a minute of silence at least before a restart.
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 60
    assert live["periodSeconds"] * live["failureThreshold"] >= 30
    # Out of the Service sooner than it is restarted.
    out = ready["periodSeconds"] * ready["failureThreshold"]
    assert out < live["periodSeconds"] * live["failureThreshold"]


@every_service_of_ours
def test_only_a_start_of_the_api_waits_for_the_database(workload: Workload) -> None:
    """A running API answers 503 with Retry-After, which needs endpoints (decision 0032)."""
    paths = {
        name: workload.container[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "liveness", "readiness")
    }
    if workload.name == "payments-api":
        assert paths == {"startup": "/readyz", "liveness": "/livez", "readiness": "/livez"}
    else:
        assert paths == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}


@every_service_of_ours
def test_only_a_hung_process_is_restarted(workload: Workload) -> None:
    """An overloaded one answers late, but within two minutes."""
    live = workload.container["livenessProbe"]
    assert live["timeoutSeconds"] == 10
    assert live["periodSeconds"] * live["failureThreshold"] >= 120


@every_service_of_ours
def test_probes_and_metrics_have_a_port_that_nothing_routes(workload: Workload) -> None:
    ports = {port["name"]: port["containerPort"] for port in workload.container["ports"]}
    control = ports["control"]
    for name in ("startup", "liveness", "readiness"):
        assert workload.container[f"{name}Probe"]["httpGet"]["port"] == "control"
    assert workload.template["metadata"]["annotations"]["prometheus.io/port"] == str(control)
    settings = {each["name"]: each.get("value") for each in workload.container["env"]}
    variable = f"{workload.name}_CONTROL_PORT".replace("-", "_").upper()
    # The worker serves nothing else.
    assert settings.get(variable) == (str(control) if "http" in ports else None)
    routes = json.dumps(
        [item for item in objects_of(workload) if item["kind"] in ("Ingress", "HTTPRoute")]
    )
    assert "control" not in routes
    assert str(control) not in routes


@every_server
def test_a_disruption_takes_one_pod_at_a_time_and_never_blocks_a_node(workload: Workload) -> None:
    (budget,) = of_kind(workload, "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@every_replicated_server
def test_its_replicas_spread_over_zones_and_nodes(workload: Workload) -> None:
    spread = workload.pod["topologySpreadConstraints"]
    keys = {item["topologyKey"] for item in spread}
    assert "topology.kubernetes.io/zone" in keys
    if workload.name != "postgres":  # One replica: it spreads from its clients, below.
        assert "kubernetes.io/hostname" in keys
    labels = workload.template["metadata"]["labels"]
    for item in spread:
        assert item["labelSelector"]["matchLabels"].items() <= labels.items()
    affinity = workload.pod["affinity"]["podAntiAffinity"]
    assert affinity["preferredDuringSchedulingIgnoredDuringExecution"]


@every_service_of_ours
def test_it_is_replaced_half_a_minute_after_its_node_falls_silent(workload: Workload) -> None:
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
def test_it_runs_twice_or_somebody_else_says_how_often(workload: Workload) -> None:
    scalers = [
        item
        for item in objects_of(workload)
        if item["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
        and item["spec"]["scaleTargetRef"]["name"] == workload.name
    ]
    replicas = workload.object["spec"].get("replicas")
    assert len(scalers) <= 1
    # Applied again, a number here would undo what the scaler did.
    assert (replicas is None) if scalers else (replicas >= 2)


@every_server
def test_a_service_leads_to_it_by_the_names_of_its_ports(workload: Workload) -> None:
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
def test_its_selector_names_nothing_that_a_release_changes(workload: Workload) -> None:
    """A selector cannot be changed; nor can a StatefulSet's claims."""
    (selector,) = selectors(workload.object)
    assert selector == {"app.kubernetes.io/name": workload.name}
    for claim in workload.object["spec"].get("volumeClaimTemplates", []):
        assert "app.kubernetes.io/version" not in claim["metadata"].get("labels", {})
