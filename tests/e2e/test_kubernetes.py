"""The system on a real cluster: applied, validated, killed, rolled, deleted.

    KUBECONFIG=... pytest tests/e2e -m k8s

Needs an otherwise empty cluster (kind is enough) with the images payments-api:dev, recon-worker:dev
and payments-ui:dev loaded. It skips a cluster that already has a namespace `payments`, because it
deletes that namespace with all its data at the end.
"""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from payments_local.ports import free_port
from testkit.deployments.k8s_manifests import K8S, kubectl

pytestmark = [pytest.mark.k8s, pytest.mark.timeout(1200)]

LOAD = Path(__file__).parents[1] / "k8s" / "cluster_load.py"
API = "http://payments-api:3001"
EARLIER_JOB = "migrate-earlier"
SERVICES = ("payments-api", "recon-worker", "payments-ui")
READY_SECONDS = 300
SETTLED_SECONDS_MAX = 120
JSON = ("--output=json",)


class Cluster:
    """The namespace `payments` of the cluster, by kubectl."""

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = 400) -> str:
        """Run kubectl and return its standard output; a failure shows its error."""
        done = subprocess.run(
            [str(kubectl()), "--namespace=payments", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def wait_until_ready(self) -> None:
        """Wait until the migration is complete and every Deployment is rolled out."""
        limit = f"--timeout={READY_SECONDS}s"
        selector = "--selector=app.kubernetes.io/name=migrate"
        self.kubectl("wait", "--for=condition=complete", "job", selector, limit)
        for name in SERVICES:
            self.kubectl("rollout", "status", f"deployment/{name}", limit)

    @contextmanager
    def load(
        self, seconds: float, tries: int, pod: str = "deployment/payments-ui"
    ) -> Iterator[dict[str, Any]]:
        """Pay from that pod while the block runs; write the outcome into the dictionary."""
        command = ["exec", "--stdin", pod, "--", "python", "-"]
        running = subprocess.Popen(
            [str(kubectl()), "--namespace=payments", *command, API, str(seconds), str(tries)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert running.stdin is not None
        running.stdin.write(LOAD.read_text())
        running.stdin.close()
        running.stdin = None
        result: dict[str, Any] = {}
        try:
            yield result
            out, _ = running.communicate(timeout=seconds + 120)
            result.update(json.loads(out))
        finally:
            running.kill()
            running.wait()

    def sql(self, query: str) -> str:
        """Run SQL as the superuser in the container of the overlay's Postgres."""
        psql = ["psql", "-U", "postgres", "-d", "payments", "-XAtqc", query]
        return self.kubectl("exec", "statefulset/postgres", "--", *psql).strip()

    def migrate_with(self, image: str) -> str:
        """Run this release's migration Job with another image; return its log."""
        selector = "--selector=app.kubernetes.io/name=migrate"
        (job, *_) = json.loads(self.kubectl("get", "jobs", selector, *JSON))["items"]
        spec = job["spec"]
        for generated in ("selector", "manualSelector"):
            spec.pop(generated, None)
        labels = {"app.kubernetes.io/name": "migrate"}  # The network policies know it by this.
        spec["template"]["metadata"] = {"labels": labels}
        spec["template"]["spec"]["containers"][0]["image"] = image
        kind = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": EARLIER_JOB}}
        self.kubectl("create", "--filename=-", stdin=json.dumps({**kind, "spec": spec}))
        try:
            limit = f"--timeout={READY_SECONDS}s"
            self.kubectl("wait", "--for=condition=complete", f"job/{EARLIER_JOB}", limit)
            return self.kubectl("logs", f"job/{EARLIER_JOB}")
        finally:
            self.kubectl("delete", "job", EARLIER_JOB)

    def wait_until_settled(self) -> None:
        """Wait until no payment is pending."""
        deadline = time.monotonic() + SETTLED_SECONDS_MAX
        while self.sql("SELECT count(*) FROM payments WHERE status = 'pending'") != "0":
            assert time.monotonic() < deadline, "payments stay pending"
            time.sleep(1)

    def assert_consistent(self, result: dict[str, Any]) -> None:
        """Assert that each answered payment is stored once and settled, and all invariants hold."""
        self.wait_until_settled()
        ids = ",".join(f"'{payment}'" for payment in result["paid"])
        done = f"SELECT count(*) FROM payments WHERE status = 'completed' AND id IN ({ids})"
        assert int(self.sql(done)) == len(set(result["paid"])) == len(result["paid"])
        self.kubectl("exec", "deployment/recon-worker", "--", "recon-worker", "audit", "--full")

    @contextmanager
    def forwarded(self, target: str, port: int) -> Iterator[int]:
        """Forward a port of this machine to the target; yield the port."""
        local = free_port()
        command = [
            str(kubectl()),
            "--namespace=payments",
            "port-forward",
            target,
            f"{local}:{port}",
        ]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert running.stdout is not None
            assert "Forwarding" in running.stdout.readline()
            yield local
        finally:
            running.terminate()
            running.communicate()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Deploy the system on the cluster; delete it at the end."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    names = subprocess.run(
        [str(kubectl()), "get", "namespaces", "--output=name"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if names.returncode:
        pytest.skip(f"the cluster of KUBECONFIG does not answer: {names.stderr.strip()}")
    if "namespace/payments" in names.stdout.split():
        pytest.skip("the namespace payments exists already, and this test would delete it")
    here = Cluster()
    try:
        here.kubectl("apply", f"--kustomize={K8S}")
        here.wait_until_ready()
        yield here
    finally:
        here.kubectl("delete", f"--kustomize={K8S}", "--wait=true", "--timeout=300s")


def test_the_seven_checks_pass(cluster: Cluster) -> None:
    def secret(name: str, key: str) -> str:
        encoded = cluster.kubectl("get", f"secret/{name}", "-o", f"jsonpath={{.data.{key}}}")
        return base64.b64decode(encoded).decode()

    password = secret("postgres-owner", "password")
    api_key = secret("payments-ui-api-key", "api-key")
    with (
        cluster.forwarded("service/payments-api", 3001) as api_port,
        cluster.forwarded("service/postgres", 5432) as port,
    ):
        url = f"postgresql://postgres:{password}@127.0.0.1:{port}/payments"
        arguments = ["validate", "--api-url", f"http://127.0.0.1:{api_port}"]
        subprocess.run(
            [sys.executable, "-m", "payments_api", *arguments],
            env={**os.environ, "DATABASE_URL": url, "PAYMENTS_API_KEY": api_key},
            check=True,
            timeout=120,
        )


def test_applying_again_changes_nothing(cluster: Cluster) -> None:
    """Compare generations: kubectl prints "configured" for fields that the server defaults."""

    def generations() -> dict[str, int]:
        out = cluster.kubectl("get", f"--kustomize={K8S}", "--output=json")
        return {
            f"{item['kind']}/{item['metadata']['name']} {item['metadata']['uid']}": item[
                "metadata"
            ].get("generation", 0)
            for item in json.loads(out)["items"]
        }

    before = generations()
    cluster.kubectl("apply", f"--kustomize={K8S}")
    assert generations() == before


def test_a_release_under_load_fails_no_request(cluster: Cluster) -> None:
    with cluster.load(seconds=90, tries=1) as result:
        time.sleep(5)
        for name in ("payments-api", "recon-worker"):  # The load runs in a pod of the page.
            cluster.kubectl("rollout", "restart", f"deployment/{name}")
        for name in ("payments-api", "recon-worker"):
            cluster.kubectl("rollout", "status", f"deployment/{name}", "--timeout=300s")
    assert result["failed"] == []
    cluster.assert_consistent(result)


def test_killed_pods_lose_and_duplicate_nothing(cluster: Cluster) -> None:
    with cluster.load(seconds=60, tries=50) as result:
        for name in ("recon-worker", "payments-api", "postgres"):
            time.sleep(5)
            selector = f"--selector=app.kubernetes.io/name={name}"
            cluster.kubectl("delete", "pod", selector, "--grace-period=0", "--force")
    assert result["failed"] == []
    cluster.wait_until_ready()
    cluster.assert_consistent(result)


def test_a_killed_page_is_replaced_while_the_other_serves(cluster: Cluster) -> None:
    """The load runs in a pod of the page, so that one stays; then the other one is killed."""
    selector = "--selector=app.kubernetes.io/name=payments-ui"

    def pages() -> list[str]:
        found = json.loads(cluster.kubectl("get", "pods", selector, *JSON))["items"]
        return [f"pod/{pod['metadata']['name']}" for pod in found]

    loading, *others = pages()
    assert others
    with cluster.load(seconds=30, tries=1, pod=loading) as result:
        time.sleep(5)
        cluster.kubectl("delete", *others, "--grace-period=0", "--force")
        cluster.kubectl("rollout", "status", "deployment/payments-ui", "--timeout=300s")
    assert result["failed"] == []
    # Now delete the pod with the load: the Service still routes to a page.
    cluster.kubectl("delete", loading, "--grace-period=0", "--force")
    cluster.kubectl("rollout", "status", "deployment/payments-ui", "--timeout=300s")
    assert loading not in pages()
    with (
        cluster.forwarded("service/payments-ui", 3000) as port,
        urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=10) as answer,
    ):
        assert answer.status == 200
    cluster.assert_consistent(result)


def test_a_drain_of_each_node_loses_nothing(cluster: Cluster) -> None:
    found = cluster.kubectl(
        "get", "nodes", "--selector=!node-role.kubernetes.io/control-plane", *JSON
    )
    nodes = [node["metadata"]["name"] for node in json.loads(found)["items"]]
    if len(nodes) < 2:
        pytest.skip("a drain of the only node leaves no node for the pods")
    for node in nodes:
        selector = "--selector=app.kubernetes.io/name=payments-ui"
        pages = json.loads(cluster.kubectl("get", "pods", selector, *JSON))["items"]
        elsewhere = [page for page in pages if page["spec"]["nodeName"] != node]
        pod = f"pod/{elsewhere[0]['metadata']['name']}"
        options = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s")
        try:
            with cluster.load(seconds=60, tries=600, pod=pod) as result:
                cluster.kubectl("drain", node, *options)
        finally:
            cluster.kubectl("uncordon", node)
        assert result["failed"] == []
        cluster.wait_until_ready()
        cluster.kubectl("rollout", "status", "statefulset/postgres", "--timeout=300s")
        cluster.assert_consistent(result)


def test_a_minute_without_postgres_loses_nothing_and_keeps_the_api_ready(
    cluster: Cluster,
) -> None:
    """The load retries for two minutes; the API's pods stay in the Service meanwhile."""
    ready = ("--for=condition=ready", "pod", "--selector=app.kubernetes.io/name=payments-api")
    with cluster.load(seconds=120, tries=600) as result:
        time.sleep(5)
        cluster.kubectl("scale", "statefulset/postgres", "--replicas=0")
        try:
            time.sleep(60)
            cluster.kubectl("wait", *ready, "--timeout=5s")
        finally:
            cluster.kubectl("scale", "statefulset/postgres", "--replicas=1")
        cluster.kubectl("rollout", "status", "statefulset/postgres", "--timeout=300s")
    assert result["failed"] == []
    assert result["retried"] > 0
    cluster.assert_consistent(result)


def test_an_earlier_release_works_on_this_releases_schema(cluster: Cluster) -> None:
    """Roll back only the code, to the images of EARLIER_TAG."""
    tag = os.environ.get("EARLIER_TAG")
    if not tag:
        pytest.skip("EARLIER_TAG names no images of an earlier release")
    assert "is at revision" in cluster.migrate_with(f"payments-api:{tag}")
    try:
        for name in SERVICES:
            cluster.kubectl("set", "image", f"deployment/{name}", f"{name}={name}:{tag}")
        cluster.wait_until_ready()
        with cluster.load(seconds=20, tries=1) as result:
            pass
        assert result["failed"] == []
        cluster.assert_consistent(result)
    finally:
        for name in SERVICES:
            cluster.kubectl("rollout", "undo", f"deployment/{name}")
        cluster.wait_until_ready()


def test_the_network_policies_block_other_connections(cluster: Cluster) -> None:
    """Applies only if the cluster's network plugin enforces policies, which is checked first."""
    code = "import socket; socket.create_connection(('postgres', 5432), 3)"
    command = ["exec", "deployment/payments-ui", "--", "python", "-c", code]
    done = subprocess.run(
        [str(kubectl()), "--namespace=payments", *command],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0, "the page reached Postgres: does the network plugin enforce?"
