"""A release rolls out without a lost request, and applying it again changes nothing."""

import pytest
import yaml

from payments_api.migrate import head_revision
from payments_local.settings import REPOSITORY
from recon_worker.app import CONTROL_DRAIN_SECONDS
from testkit.deployments.k8s_manifests import (
    FULLEST,
    OBSERVING,
    OVERLAYS,
    Workload,
    all_workloads,
    combination,
    one,
    overlay,
)

ALL = all_workloads()
SPARE_SECONDS = 5  # For steps without a setting: closing connections, and the last lines of a log.
# From a pod's deletion until no node sends it new connections.
ENDPOINTS_SECONDS = 5
GOODBYE_SECONDS = 4  # Worker._leave: two statements of two seconds each.


def environment(workload: Workload) -> dict[str, str]:
    return {item["name"]: item.get("value", "") for item in workload.container.get("env", [])}


def pre_stop_seconds(workload: Workload) -> float:
    """Return the seconds that the pod waits before SIGTERM, in our only kind of hook."""
    hook = workload.container.get("lifecycle", {}).get("preStop")
    if hook is None:
        return 0.0
    python, option, code = hook["exec"]["command"]
    assert (python, option) == ("python", "-c")
    head, _, seconds = code.partition("time.sleep(")
    assert head == "import time; "
    return float(seconds.removesuffix(")"))


def job(workload: Workload) -> str | None:
    return str(workload.object["metadata"]["name"]) if workload.kind == "Job" else None


def named(*names: str) -> list[Workload]:
    return [workload for workload in ALL if workload.name in names]


@pytest.mark.parametrize("workload", named("payments-api", "payments-ui"), ids=str)
def test_a_server_leaves_its_service_before_it_stops(workload: Workload) -> None:
    settings = environment(workload)
    api = workload.name == "payments-api"
    delay = "PAYMENTS_API_SHUTDOWN_DELAY_SECONDS" if api else "PAYMENTS_UI_SHUTDOWN_DELAY_SECONDS"
    drain = "PAYMENTS_API_DRAIN_SECONDS" if api else "PAYMENTS_UI_DRAIN_SECONDS"
    wait = pre_stop_seconds(workload)
    assert wait >= ENDPOINTS_SECONDS
    # A load balancer that polls readiness needs one period to notice.
    assert float(settings[delay]) >= workload.container["readinessProbe"]["periodSeconds"]
    stopping = wait + float(settings[delay]) + float(settings[drain])
    assert workload.pod["terminationGracePeriodSeconds"] >= stopping + SPARE_SECONDS


@pytest.mark.parametrize("workload", named("recon-worker"), ids=str)
def test_a_worker_drains_within_its_grace(workload: Workload) -> None:
    drain = float(environment(workload)["RECON_WORKER_DRAIN_SECONDS"])
    stopping = pre_stop_seconds(workload) + drain + GOODBYE_SECONDS + CONTROL_DRAIN_SECONDS
    assert workload.pod["terminationGracePeriodSeconds"] >= stopping + SPARE_SECONDS


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_migrations_name_contains_revision_and_release(name: str) -> None:
    objects = overlay(name)
    release = one(objects, "ConfigMap", "payments-release")["data"]
    assert release["revision"] == head_revision(), (
        "deploy/k8s/base/namespace.yaml names another revision than payments-api's newest"
    )
    assert release["name"] == release["version"].replace(".", "-")
    name = f"migrate-{head_revision()}-{release['name']}"
    annotations = one(objects, "Job", name)["metadata"]["annotations"]
    assert annotations["payments/schema-revision"] == head_revision()
    assert len(name) <= 63  # Its pods carry it in a label.


def test_the_job_and_compose_migrate_to_the_head_of_their_release() -> None:
    """An older release's migrate accepts a newer schema only for the target `head`."""
    assert {tuple(each.container["args"]) for each in named("migrate")} == {("migrate",)}
    compose = yaml.safe_load((REPOSITORY / "deploy/compose/compose.yaml").read_text())
    assert compose["services"]["migrate"]["command"] == ["migrate"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_images_and_labels_name_the_release(name: str) -> None:
    version = one(overlay(name), "ConfigMap", "payments-release")["data"]["version"]
    for workload in ALL:
        labels = workload.template["metadata"]["labels"]
        if workload.name in ("postgres", "backup", *OBSERVING):
            # A release must not restart unchanged workloads.
            assert "app.kubernetes.io/version" not in labels, workload
        elif workload.overlay == name:
            assert workload.container["image"].endswith(f":{version}"), workload
            assert labels["app.kubernetes.io/version"] == version


@pytest.mark.parametrize("workload", [w for w in ALL if w.kind == "Job"], ids=str)
def test_a_job_uses_no_object_whose_name_contains_a_hash(workload: Workload) -> None:
    """A changed ConfigMap would have another name, and a Job's template cannot change."""
    references = [
        source[key]["name"]
        for source in workload.container.get("envFrom", [])
        for key in ("configMapRef", "secretRef")
        if key in source
    ]
    references += [v["configMap"]["name"] for v in workload.pod["volumes"] if "configMap" in v]
    assert references == (["make-secrets"] if workload.name == "make-secrets" else [])


def test_each_release_has_its_own_jobs() -> None:
    names = {name: {job(w) for w in ALL if w.overlay == name} for name in OVERLAYS}
    versions = {
        name: one(overlay(name), "ConfigMap", "payments-release")["data"]["version"]
        for name in OVERLAYS
    }
    assert versions["local"] != versions["production"]
    assert not names["local"] & names["production"] - {None}


def test_settings_that_change_roll_the_services() -> None:
    """The ConfigMap's name carries a hash, and the pods refer to it by that name."""
    for name in OVERLAYS:
        (settings,) = (
            item["metadata"]["name"]
            for item in overlay(name)
            if item["kind"] == "ConfigMap" and item["metadata"]["name"].startswith("payments-set")
        )
        assert settings != "payments-settings"
        for service in ("payments-api", "recon-worker", "payments-ui"):
            pod = one(overlay(name), "Deployment", service)["spec"]["template"]["spec"]
            assert pod["containers"][0]["envFrom"] == [{"configMapRef": {"name": settings}}]


def test_an_unreachable_database_does_not_use_up_the_migrations_tries() -> None:
    """`payments-api migrate` exits with status 2 then: see payments_api.__main__._migrate."""
    migration = one(combination(FULLEST), "Job", f"migrate-{head_revision()}-dev")
    first = migration["spec"]["podFailurePolicy"]["rules"][0]
    assert first["action"] == "Ignore"
    assert first["onExitCodes"]["values"] == [2]
