"""Rules for workloads: each is a test over all workloads, so that new ones must follow them."""

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
# They run the image of Postgres, which a release does not change.
RUNNING_POSTGRES = ("postgres", "backup")
# The only workload that uses Kubernetes' API, with a token of ten minutes that can only create.
USES_KUBERNETES_API = {"make-secrets"}


def objects_of(workload: Workload) -> tuple[Object, ...]:
    in_overlay = workload.overlay in OVERLAYS
    return overlay(workload.overlay) if in_overlay else combination(FULLEST)


def of_kind(workload: Workload, kind: str) -> list[Object]:
    """Return the objects of that kind whose selector matches the workload's pods."""
    labels = workload.template["metadata"]["labels"]
    return [
        item
        for item in objects_of(workload)
        if item["kind"] == kind
        and item["spec"]["selector"].get("matchLabels", {}).items() <= labels.items()
    ]


def quantity(text: str | int) -> float:
    """Convert Kubernetes' "250m", "1Gi" or "2" into a number of cores or bytes."""
    match = re.fullmatch(r"([0-9.]+)(m|Ki|Mi|Gi|Ti)?", str(text))
    assert match, text
    factor = {None: 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}[match[2]]
    return float(match[1]) * factor


every_workload = pytest.mark.parametrize("workload", ALL, ids=str)
every_server = pytest.mark.parametrize("workload", SERVING, ids=str)
every_replicated_server = pytest.mark.parametrize("workload", REPLICATED, ids=str)
every_service_of_ours = pytest.mark.parametrize("workload", OURS, ids=str)


def test_the_manifests_have_workloads() -> None:
    names = {workload.name for workload in ALL}
    assert {"payments-api", "recon-worker", "payments-ui", "migrate", "postgres", "backup"} <= names
    assert set(OBSERVING) <= names


@every_workload
def test_a_workload_has_the_recommended_labels(workload: Workload) -> None:
    labels = workload.object["metadata"]["labels"]
    pods = workload.template["metadata"]["labels"]
    names = ["name", "instance", "component", "part-of", "managed-by"]
    # The version of another project's workload is that of its image.
    names += ["version"] if workload.name not in (*RUNNING_POSTGRES, *OBSERVING) else []
    for name in names:
        assert labels.get(f"app.kubernetes.io/{name}"), name
        assert pods.get(f"app.kubernetes.io/{name}") == labels[f"app.kubernetes.io/{name}"]


@every_workload
def test_a_pod_meets_the_restricted_standard(workload: Workload) -> None:
    context, pod = workload.pod["securityContext"], workload.pod
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["runAsGroup"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & pod.keys()
    kinds = {key for volume in pod.get("volumes", []) for key in volume if key != "name"}
    assert kinds <= {"secret", "configMap", "emptyDir", "projected", "persistentVolumeClaim"}


@every_workload
def test_a_container_has_minimal_privileges(workload: Workload) -> None:
    assert workload.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not workload.pod.get("initContainers"), "extend these rules to init containers first"
    assert not [port for port in workload.container.get("ports", []) if "hostPort" in port]


@every_workload
def test_writable_volumes_have_size_limits(workload: Workload) -> None:
    for volume in workload.pod.get("volumes", []):
        if "emptyDir" in volume:
            assert volume["emptyDir"].get("sizeLimit"), volume
        if "secret" in volume:
            assert volume["secret"]["defaultMode"] == 0o440, volume
    for mount in workload.container.get("volumeMounts", []):
        if mount["mountPath"].startswith("/run/secrets"):
            assert mount["readOnly"] is True, mount


@every_workload
def test_a_workload_has_resource_requests_and_limits(workload: Workload) -> None:
    resources = workload.container["resources"]
    for name in ("cpu", "memory", "ephemeral-storage"):
        asked, most = resources["requests"][name], resources["limits"][name]
        assert 0 < quantity(asked) <= quantity(most), name
    for volume in workload.pod.get("volumes", []):
        if volume.get("emptyDir", {}).get("medium") != "Memory" and "emptyDir" in volume:
            most = resources["limits"]["ephemeral-storage"]
            assert quantity(volume["emptyDir"]["sizeLimit"]) <= quantity(most)


@every_workload
def test_a_workload_has_its_own_service_account_without_a_token(workload: Workload) -> None:
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
def test_service_links_are_disabled(workload: Workload) -> None:
    """Otherwise the Service payments-api would set PAYMENTS_API_PORT=tcp://..., a setting."""
    assert workload.pod["enableServiceLinks"] is False


@every_workload
def test_a_workload_has_a_priority_and_a_grace_period(workload: Workload) -> None:
    # Payments have priority over monitoring.
    expected = None if workload.name in OBSERVING else "payments"
    assert workload.pod.get("priorityClassName") == expected
    assert workload.pod["terminationGracePeriodSeconds"] >= 5
    classes = [item for item in objects_of(workload) if item["kind"] == "PriorityClass"]
    assert [item["metadata"]["name"] for item in classes] == ["payments"]


@every_workload
def test_an_image_is_of_one_release(workload: Workload) -> None:
    image = workload.container["image"]
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    assert tag, f"{image} has no tag"
    assert not tag.startswith("latest")
    assert workload.container["imagePullPolicy"] == "IfNotPresent"


@every_workload
def test_a_job_is_bounded_and_kept(workload: Workload) -> None:
    if workload.serves:
        return
    spec = workload.object["spec"]
    if workload.kind == "CronJob":
        assert spec["concurrencyPolicy"] == "Forbid"
        assert spec["startingDeadlineSeconds"] > 0
        assert spec["timeZone"] == "Etc/UTC"  # By default that of the cluster's control plane.
        spec = spec["jobTemplate"]["spec"]
    else:
        # A deleted Job would run again at the next apply.
        assert "ttlSecondsAfterFinished" not in spec
        assert re.fullmatch(
            r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", workload.object["metadata"]["name"]
        )
    assert spec["activeDeadlineSeconds"] > 0
    assert spec["backoffLimit"] >= 0
    if workload.pod["restartPolicy"] == "OnFailure":
        assert workload.name == "make-secrets"
        assert spec["backoffLimit"] >= 3
        return
    assert workload.pod["restartPolicy"] == "Never"
    # A drained node is no failure: a failed audit or backup is an alarm.
    evicted = {
        "action": "Ignore",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }
    assert evicted in spec["podFailurePolicy"]["rules"]


@every_workload
def test_a_seal_is_retried_if_unchecked_but_not_if_broken(workload: Workload) -> None:
    """`audit --seal` exits with 1 if the books differ, with 2 if it could not check them."""
    if workload.name != "seal-audit":
        return
    spec = workload.object["spec"]["jobTemplate"]["spec"]
    at_once = spec["podFailurePolicy"]["rules"][0]
    assert at_once["action"] == "FailJob"
    assert at_once["onExitCodes"]["values"] == [1]
    assert spec["backoffLimit"] == 3


def seconds_inside(probe: Object) -> int:
    """Return the seconds that a probe's own command waits, 0 for a request."""
    command = " ".join(probe.get("exec", {}).get("command", []))
    waits = re.search(r"payments_core\.http\.healthcheck \w+ (\d+)$|in \$\(seq (\d+)\)", command)
    return int(waits[1] or waits[2]) if waits else 0


def seconds_to_start(startup: Object) -> float:
    each = max(int(startup["periodSeconds"]), seconds_inside(startup))
    return float(startup.get("initialDelaySeconds", 0) + each * startup["failureThreshold"])


@every_server
def test_a_healthy_start_fails_no_startup_probe(workload: Workload) -> None:
    """A failed probe is a Warning event: the probe waits, in its command or before its request."""
    startup = workload.container["startupProbe"]
    if workload.name in OBSERVING:  # Images without a command that could wait.
        assert 5 <= startup["initialDelaySeconds"] <= 30
        return
    # The whole first start takes about 30 s; the command ends before its timeout.
    assert seconds_inside(startup) >= 45
    assert startup["timeoutSeconds"] >= seconds_inside(startup) + 8
    assert startup["periodSeconds"] <= 2  # The first one starts so long after the container.
    # Rolled back to images whose command ignores the wait, a service still has time to start.
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 40
    assert "initialDelaySeconds" not in startup, "it would delay a start that is quicker"


@every_server
def test_a_server_has_three_probes_within_bounds(workload: Workload) -> None:
    startup, live, ready = (
        workload.container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")
    )
    for probe in (live, ready):
        assert 3 <= probe["timeoutSeconds"] <= 10, probe
        assert probe["periodSeconds"] <= 10, probe
    # At least a minute to start, and at least half a minute without an answer before a restart.
    assert seconds_to_start(startup) >= 60
    assert live["periodSeconds"] * live["failureThreshold"] >= 30
    # The pod leaves the Service before it is restarted.
    out = ready["periodSeconds"] * ready["failureThreshold"]
    assert out < live["periodSeconds"] * live["failureThreshold"]


@every_service_of_ours
def test_services_start_once_ready_and_the_api_stays_ready(workload: Workload) -> None:
    """A running API answers 503 with Retry-After, which needs endpoints (decision 0032)."""
    prefix = workload.name.replace("-", "_").upper()
    startup = workload.container["startupProbe"]["exec"]["command"]
    # The startup probe requests /readyz.
    assert startup[:-1] == ["python", "-m", "payments_core.http.healthcheck", prefix]
    assert seconds_to_start(workload.container["startupProbe"]) >= 600
    assert workload.container["livenessProbe"]["httpGet"]["path"] == "/livez"
    ready = workload.container["readinessProbe"]["httpGet"]["path"]
    assert ready == ("/livez" if workload.name == "payments-api" else "/readyz")


@every_service_of_ours
def test_only_a_hung_process_is_restarted(workload: Workload) -> None:
    """An overloaded process answers late, but within two minutes."""
    live = workload.container["livenessProbe"]
    assert live["timeoutSeconds"] == 10
    assert live["periodSeconds"] * live["failureThreshold"] >= 120


@every_service_of_ours
def test_probes_and_metrics_use_an_unrouted_port(workload: Workload) -> None:
    ports = {port["name"]: port["containerPort"] for port in workload.container["ports"]}
    control = ports["control"]
    for name in ("liveness", "readiness"):
        assert workload.container[f"{name}Probe"]["httpGet"]["port"] == "control"
    assert workload.template["metadata"]["annotations"]["prometheus.io/port"] == str(control)
    settings = {each["name"]: each.get("value") for each in workload.container["env"]}
    variable = f"{workload.name}_CONTROL_PORT".replace("-", "_").upper()
    # The worker has no other port.
    assert settings.get(variable) == (str(control) if "http" in ports else None)
    routes = json.dumps(
        [item for item in objects_of(workload) if item["kind"] in ("Ingress", "HTTPRoute")]
    )
    assert "control" not in routes
    assert str(control) not in routes


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


@pytest.mark.parametrize("name", ["local", "airgap", "observability"])
def test_only_the_migration_reaches_a_postgres_without_passwords(name: str) -> None:
    """Else a first installation's services would fail to log in, and restart."""
    early = [
        item["metadata"]["name"]
        for item in overlay(name)
        if item["kind"] == "Service"
        and item["spec"].get("publishNotReadyAddresses")
        and item["spec"]["selector"] == {"app.kubernetes.io/name": "postgres"}
    ]
    assert early == ["postgres-pods"]
    for workload in (each for each in ALL if each.overlay == name):
        values = [each.get("value", "") for each in workload.container.get("env", [])]
        assert any("@postgres-pods:" in value for value in values) == (workload.name == "migrate")
