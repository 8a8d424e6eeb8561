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

import pytest

from testkit.deployments.cluster import (
    JSON,
    SERVICES,
    Cluster,
)
from testkit.deployments.k8s_manifests import K8S, kubectl

pytestmark = [pytest.mark.k8s, pytest.mark.timeout(1200)]


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
