"""Secrets made in the cluster: a second start overwrites nothing."""

import http.server
import json
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from payments_local.settings import REPOSITORY
from testkit.deployments.k8s_manifests import (
    K8S,
)

from .conftest import make_secrets


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
