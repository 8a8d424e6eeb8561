"""The system on a Kubernetes cluster, driven by kubectl."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from payments_local.ports import free_port
from payments_local.settings import REPOSITORY
from testkit.checked_command import output_of
from testkit.deployments.k8s_manifests import kubectl

LOAD = REPOSITORY / "tests" / "k8s" / "cluster_load.py"
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
        command = [str(kubectl()), "--namespace=payments", *arguments]
        return output_of(*command, stdin=stdin or "", seconds_max=seconds)

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
