"""Every overlay, and every combination of components, builds and is valid on every Kubernetes."""

import json
import os
import subprocess
from collections import Counter
from functools import lru_cache
from typing import Any

import pytest
import yaml

from payments_local.settings import REPOSITORY
from testkit.deployments.k8s_manifests import (
    FULLEST,
    K8S,
    OVERLAYS,
    Object,
    build,
    build_all,
    build_text,
    combination,
    combination_folder,
    every_combination,
    every_pair,
    installed_kubectls,
    kubectl,
    overlay,
)

OLDEST_KUBERNETES = "1.29"
FOLDER = REPOSITORY / "tests" / "k8s"


@lru_cache
def crd_schemas() -> dict[str, Any]:
    """Return the schemas of other projects' objects, by apiVersion/Kind."""
    documents = [
        document
        for file in sorted((FOLDER / "crds").glob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text())
    ]
    assert all(document["source"] for document in documents)
    return {f"{item['apiVersion']}/{item['kind']}": item["schema"] for item in documents}


def schema_errors(objects: list[Object]) -> list[str]:
    """Return the objects' errors by the schemas of the oldest and newest supported Kubernetes."""
    asked = {
        "versions": [OLDEST_KUBERNETES, "newest"],
        "crds": crd_schemas(),
        "objects": list({json.dumps(item, sort_keys=True): item for item in objects}.values()),
    }
    run = subprocess.run(
        [str(kubectl().parent / "python"), str(FOLDER / "validate_objects.py")],
        input=json.dumps(asked),
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    errors: list[str] = json.loads(run.stdout)
    return errors


def identity(item: Object) -> tuple[str, str, str]:
    return item["apiVersion"], item["kind"], item["metadata"]["name"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_is_valid_on_the_oldest_and_the_newest_kubernetes(name: str) -> None:
    assert schema_errors(list(overlay(name))) == []


def test_apply_k_deploys_the_local_overlay() -> None:
    assert build(K8S) == overlay("local")


def test_builds_are_reproducible() -> None:
    folder = K8S / "overlays" / "production"
    assert build_text(folder) == build_text(folder)


def test_every_combination_of_components_builds_and_is_valid() -> None:
    """With K8S_COMBINATIONS=all (make check-k8s) all 432, else every pair."""
    several = list(every_combination() if os.environ.get("K8S_COMBINATIONS") else every_pair())
    built = build_all(several)
    for names, objects in zip(several, built, strict=True):
        twice = [key for key, count in Counter(map(identity, objects)).items() if count > 1]
        assert not twice, f"{names}: {twice}"
        stray = [name for *_, name in map(identity, objects) if name.endswith("-version")]
        assert not stray, f"{names}: a name lacks its version: {stray}"
    assert schema_errors([item for objects in built for item in objects]) == []


def test_the_order_of_components_does_not_matter() -> None:
    def comparable(objects: tuple[Object, ...]) -> list[str]:
        return sorted(json.dumps(item, sort_keys=True) for item in objects)

    forward, backward = combination(FULLEST), combination(FULLEST[::-1])
    assert [identity(item) for item in forward] != []
    assert comparable(forward) == comparable(backward)


def patch_sources() -> list[tuple[str, str]]:
    """Return each patch of each kustomization, with its location."""
    found = []
    for file in sorted(K8S.rglob("kustomization.yaml")):
        for number, entry in enumerate(yaml.safe_load(file.read_text()).get("patches", [])):
            text = entry.get("patch") or (file.parent / entry["path"]).read_text()
            found.append((f"{file.relative_to(K8S)}: patch {number}", text))
    return found


def test_a_patch_is_one_document() -> None:
    """Kustomize before 5.2 rejects several documents, and 5.5 crashes if they delete."""
    sources = patch_sources()
    assert len(sources) > 10
    assert [place for place, text in sources if len(list(yaml.safe_load_all(text))) != 1] == []


def test_older_kubectls_build_the_same() -> None:
    """Every overlay and every component, by each kubectl of this machine."""
    programs = installed_kubectls()
    if not programs:
        reason = "no kubectl is installed beside the pinned one"
        if "kubectl" in os.environ.get("REQUIRE", "").split(","):
            pytest.fail(f"REQUIRE=kubectl, and {reason}")
        pytest.skip(reason)
    folders = [
        *(K8S / "overlays" / name for name in OVERLAYS),
        K8S / "components/cloudnative-pg/restore",
        combination_folder(["gateway", "observability"]),
        combination_folder(FULLEST),
    ]
    for folder in folders:
        for program in programs:
            assert build(folder, program) == build(folder), f"{program}: {folder}"


def test_the_restore_is_valid() -> None:
    assert schema_errors(list(build(K8S / "components/cloudnative-pg/restore"))) == []


@pytest.mark.parametrize(
    ("item", "complaint"),
    [
        (
            {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 1, "prot": 1}]}},
            "prot",
        ),
        ({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "spec": {}}, "triggers"),
        ({"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "spec": {"a": 1}}, "'a'"),
        ({"apiVersion": "example.com/v1", "kind": "Unheard", "spec": {}}, "Couldn't find schema"),
    ],
)
def test_the_validation_detects_errors(item: Object, complaint: str) -> None:
    errors = schema_errors([{"metadata": {"name": "wrong"}, **item}])
    assert any(complaint in error for error in errors), errors


@pytest.mark.parametrize("name", OVERLAYS)
def test_all_objects_are_in_the_namespace_and_labelled_part_of_payments(name: str) -> None:
    cluster_wide = {"Namespace", "PriorityClass"}
    for item in overlay(name):
        metadata, label = item["metadata"], identity(item)
        if item["kind"] not in cluster_wide:
            assert metadata.get("namespace") == "payments", label


def test_the_namespace_enforces_the_restricted_standard() -> None:
    for name in OVERLAYS:
        (namespace,) = (item for item in overlay(name) if item["kind"] == "Namespace")
        for mode in ("enforce", "audit", "warn"):
            labels = namespace["metadata"]["labels"]
            assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"


def test_no_manifest_contains_a_secret() -> None:
    for name in OVERLAYS:
        assert not [item for item in overlay(name) if item["kind"] == "Secret"]
    for file in K8S.rglob("*"):
        if file.is_file():
            assert file.suffix in (".yaml", ".py", ".mk", "", ".pyc"), (
                f"{file} has an unexpected type"
            )
