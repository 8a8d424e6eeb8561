"""Secrets: none in the manifests, one for each reader, random and never overwritten."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from payments_api.auth.keys import KEY_PATTERN
from payments_local.settings import REPOSITORY
from testkit.deployments.k8s_manifests import (
    FULLEST,
    OBSERVING,
    OVERLAYS,
    all_workloads,
    combination,
    one,
    overlay,
)

from .conftest import SCRIPT, make_secrets

# Created by an operator, or provided by the site.
MADE_ELSEWHERE = {"payments-db-ca", "payments-ui-tls", "payments-backup"}


def referenced() -> dict[str, set[str]]:
    """Return the keys that pods and operators' objects read, by secret."""
    keys: dict[str, set[str]] = {}

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            reference = value.get("secretKeyRef")
            if reference:
                keys.setdefault(reference["name"], set()).add(reference["key"])
            for item in value.get("secretTargetRef", []):
                keys.setdefault(item["name"], set()).add(item["key"])
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    for components in (FULLEST, ()):
        walk(combination(components))
    for workload in all_workloads():
        for volume in workload.pod["volumes"]:
            if "secret" in volume:
                name = volume["secret"]["secretName"]
                keys.setdefault(name, set())
                if name in make_secrets.ROLES:
                    keys[name].add("password")
    return keys


def test_every_secret_in_use_is_generated() -> None:
    for name, keys in referenced().items():
        if name not in MADE_ELSEWHERE:
            made = make_secrets.new_secret(name, "payments")
            assert name in make_secrets.NAMES
            assert keys <= made["stringData"].keys(), name


def test_the_secret_store_has_the_same_keys_as_the_script() -> None:
    objects = overlay("production")
    for name in make_secrets.NAMES:
        target = one(objects, "ExternalSecret", name)["spec"]["target"]
        made = make_secrets.new_secret(name, "payments")
        assert target["template"]["type"] == made["type"]
        assert target["template"]["data"].keys() == made["stringData"].keys()
        user = target["template"]["data"].get("username")
        assert user == made["stringData"].get("username")


def test_a_service_reads_only_its_own_roles_secret() -> None:
    """Only the migration, which sets the passwords, reads several."""
    allowed = {
        "payments-api": {"payments-api-database", "payments-db-ca"},
        "recon-worker": {"recon-worker-database", "payments-db-ca"},
        "audit": {"recon-worker-database", "payments-db-ca"},
        "seal-audit": {"recon-worker-database", "payments-db-ca"},
        "payments-ui": set(),
        "make-secrets": set(),
        "postgres": {"postgres-owner"},
        "backup": {"payments-backup-database"},
        **{name: set() for name in OBSERVING},
        # It sets the passwords, and stores the page's key.
        "migrate": {*make_secrets.ROLES, "payments-ui-api-key", "payments-db-ca"},
    }
    for workload in all_workloads():
        volumes = workload.pod["volumes"]
        mounted = {v["secret"]["secretName"] for v in volumes if "secret" in v}
        assert mounted <= allowed[workload.name], workload
        url = [e["value"] for e in workload.container.get("env", []) if e["name"] == "DATABASE_URL"]
        for secret in mounted & make_secrets.ROLES.keys():
            if workload.name not in ("migrate", "postgres"):
                assert f"//{make_secrets.ROLES[secret]}@" in url[0], workload


def test_values_are_random_long_and_url_safe() -> None:
    values = {
        value
        for name in make_secrets.NAMES
        for _ in range(3)
        for key, value in make_secrets.new_secret(name, "payments")["stringData"].items()
        if key != "username"
    }
    assert len(values) == 3 * len(make_secrets.NAMES)
    assert all(len(value) >= 32 for value in values)


def test_the_pages_key_is_accepted_by_the_api() -> None:
    made = {
        make_secrets.new_secret(make_secrets.API_KEY, "payments")["stringData"]["api-key"]
        for _ in range(50)
    }
    assert len(made) == 50
    assert all(re.fullmatch(KEY_PATTERN, key) for key in made)


@pytest.fixture
def fake_kubectl(tmp_path: Path) -> Path:
    """Return a fake kubectl that has one secret already and keeps created ones."""
    program = tmp_path / "kubectl"
    program.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "if 'get' in sys.argv: print('postgres-owner payments-ui-signing', end='')\n"
        "else:\n"
        "    text = sys.stdin.read()\n"
        "    number = len(list(folder.glob('*.json')))\n"
        "    (folder / f'{number}.json').write_text(text)\n"
        "    (folder / f'{number}.args').write_text(' '.join(sys.argv))\n"
    )
    program.chmod(0o755)
    return program


def test_kubectl_creates_only_missing_secrets_and_shows_no_value(fake_kubectl: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(SCRIPT), "kubectl", "elsewhere"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "KUBECTL": str(fake_kubectl)},
    )
    files = list(fake_kubectl.parent.glob("*.json"))
    made = [json.loads(file.read_text()) for file in files]
    assert {item["metadata"]["name"] for item in made} == {
        "payments-migration-database",
        "payments-api-database",
        "recon-worker-database",
        "payments-readonly-database",
        "payments-backup-database",
        "payments-ui-api-key",
        "payments-ui-sign-in",
    }
    shown = run.stdout + run.stderr + "".join(f.with_suffix(".args").read_text() for f in files)
    for item in made:
        assert item["metadata"]["namespace"] == "elsewhere"
        secret = item["stringData"].get("password") or item["stringData"]["api-key"]
        assert secret not in shown


def test_make_k8s_secrets_creates_its_namespace_and_nothing_in_another(tmp_path: Path) -> None:
    program, calls = tmp_path / "kubectl", tmp_path / "calls"
    program.write_text(
        f'#!/bin/sh\necho "$*" >>{calls}\ncat >/dev/null\n[ "$1 $2" != "get namespace" ]\n'
    )
    program.chmod(0o755)
    subprocess.run(
        ["make", "--silent", "k8s-secrets", f"KUBECTL={program}", "NAMESPACE=elsewhere"],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=True,
    )
    made, *others = calls.read_text().splitlines()[1:]
    # With the configuration, so that a later `apply` of the namespace has nothing to warn of.
    assert made == "create namespace elsewhere --save-config"
    assert all(line.startswith("--namespace elsewhere ") for line in others)
    assert len(others) == 1 + len(make_secrets.NAMES)


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_states_the_source_of_its_secrets(name: str) -> None:
    kinds = {item["kind"] for item in overlay(name)}
    names = {item["metadata"]["name"] for item in overlay(name)}
    generated, external = "make-secrets" in names, "ExternalSecret" in kinds
    assert (generated, external) == {
        "local": (True, False),
        "observability": (True, False),
        "production": (False, True),
        "airgap": (False, False),  # Created by `make k8s-secrets`.
    }[name]
