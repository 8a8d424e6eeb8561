"""Rules for pods: each is a test over all workloads, so that new ones must follow them."""

import json
import re

import pytest

from testkit.deployments.k8s_manifests import (
    OBSERVING,
    Workload,
    overlay,
)

from .conftest import ALL, every_workload, objects_of, quantity

# They run the image of Postgres, which a release does not change.
RUNNING_POSTGRES = ("postgres", "backup")
# The only workload that uses Kubernetes' API, with a token of ten minutes that can only create.
USES_KUBERNETES_API = {"make-secrets"}


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
