"""Secrets: none in the manifests, one for each reader, random and never overwritten."""

import http.server
import importlib.util
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from payments_api.auth.keys import KEY_PATTERN
from payments_local.settings import REPOSITORY
from testkit.deployments.k8s_manifests import (
    FULLEST,
    K8S,
    OBSERVING,
    OVERLAYS,
    all_workloads,
    combination,
    one,
    overlay,
)

SCRIPT = K8S / "components" / "generated-secrets" / "make_secrets.py"
# Created by an operator, or provided by the site.
MADE_ELSEWHERE = {"payments-db-ca", "payments-ui-tls", "payments-backup"}


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_secrets", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_secrets = load_script()


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


def test_make_kind_creates_secrets_before_pods(tmp_path: Path) -> None:
    """A pod without its secret waits and reports FailedMount."""
    calls = tmp_path / "calls"
    for name in ("kind", "kubectl", "make"):
        program = tmp_path / name
        program.write_text(
            f'#!/bin/sh\necho "${{KUBECONFIG##*/}} {name} $*" >>{calls}\n'
            '[ "$1 $2" != "get clusters" ] || echo of-a-test\n'
            'case "$*" in *"apply --kustomize"*) exit 1;; esac\n'
        )
        program.chmod(0o755)
    subprocess.run(
        [str(K8S / "kind-up"), "kind", "of-a-test", str(tmp_path / "kubectl")],
        capture_output=True,
        timeout=60,
        check=False,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    (REPOSITORY / ".cache/kind-of-a-test.kubeconfig").unlink()
    lines = calls.read_text().splitlines()
    named = "kind-of-a-test.kubeconfig"
    secrets, applied = (
        next(place for place, line in enumerate(lines) if word in line)
        for word in (f"{named} make --no-print-directory k8s-secrets", "apply --kustomize")
    )
    assert secrets < applied == len(lines) - 1
    assert all(line.startswith(f"{named} ") for line in lines if " kubectl " in line)


class KubernetesApi(http.server.BaseHTTPRequestHandler):
    """A fake API: 201 once for each secret, then 409; 401 without the token."""

    made: ClassVar[dict[str, Any]] = {}

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = body["metadata"]["name"]
        status = 409 if name in self.made else 201
        if self.headers["Authorization"] != "Bearer the-token":
            status = 401
        elif self.path == "/api/v1/namespaces/payments/secrets":
            self.made.setdefault(name, body)
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def kubernetes_api(folder: Path) -> Iterator[int]:
    """Run an HTTPS server with its own certificate; yield its port."""
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    key = ["-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem"]
    subprocess.run(
        ["openssl", "req", "-x509", "-days", "1", *key, *subject, "-out", "ca.crt"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), KubernetesApi)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.crt", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl here")
def test_a_second_start_in_the_cluster_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "namespace").write_text("payments")
    (tmp_path / "token").write_text("the-token")
    monkeypatch.setattr(make_secrets, "ACCOUNT_DIR", tmp_path)
    monkeypatch.setattr(KubernetesApi, "made", {})
    with kubernetes_api(tmp_path) as port:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT_HTTPS", str(port))
        make_secrets.in_cluster()
        first = dict(KubernetesApi.made)
        make_secrets.in_cluster()
        (tmp_path / "token").write_text("another")
        with pytest.raises(SystemExit, match="401"):
            make_secrets.in_cluster()
    assert set(first) == set(make_secrets.NAMES)
    assert KubernetesApi.made == first
    printed = capsys.readouterr().out
    assert printed.count("already exists") == len(make_secrets.NAMES)
    for item in first.values():
        assert not [
            value for value in item["stringData"].values() if len(value) > 20 and value in printed
        ]


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
