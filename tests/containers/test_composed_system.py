"""`docker compose up`: the real images and Postgres, on this machine."""

import json
import os
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from payments_local.settings import REPOSITORY
from testkit.deployments.composed import Composed, composed, eventually

pytestmark = pytest.mark.engine

UP_SECONDS_PROMISED = 30.0


@pytest.fixture(scope="module")
def composition(images: str) -> Iterator[Composed]:
    """Start the system for the first time."""
    with composed(images) as running:
        running.up_seconds = running.up()
        running.first_log = running.compose("logs", "--no-log-prefix", "postgres")
        yield running


@pytest.fixture
def system(composition: Composed) -> Composed:
    """Return the system; start it again if another test has stopped or removed it."""
    up = set(composition.compose("ps", "--services", "--status", "running").split())
    if not up >= {"postgres", "payments-api", "recon-worker", "payments-ui"}:
        composition.up()
    return composition


def test_the_system_starts_from_built_images_in_half_a_minute(system: Composed) -> None:
    """On an idle machine; a busy machine may take proportionally longer."""
    processes_per_core = os.getloadavg()[0] / (os.cpu_count() or 1)
    assert system.up_seconds < UP_SECONDS_PROMISED * max(1.0, processes_per_core)


def test_a_first_start_leaves_no_error_in_postgres_log(system: Composed) -> None:
    assert "ready to accept connections" in system.first_log
    levels = ("WARNING:", "ERROR:", "FATAL:", "PANIC:")
    assert [
        line for line in system.first_log.splitlines() if any(level in line for level in levels)
    ] == []


def test_make_validate_passes_against_it(system: Composed) -> None:
    output = system.run("make", "--no-print-directory", "validate")
    assert "ALL VALIDATION CHECKS PASSED" in output


def test_the_page_is_served(system: Composed) -> None:
    answer = httpx.get(f"http://127.0.0.1:{system.ui_port}/", timeout=10)
    assert answer.status_code == 200


def test_every_published_port_is_on_loopback(system: Composed) -> None:
    for service in ("postgres", "payments-api", "payments-ui", "recon-worker-port"):
        for container in system.containers(service):
            bindings = container["NetworkSettings"]["Ports"].values()
            addresses = {one["HostIp"] for binding in bindings if binding for one in binding}
            assert addresses == {"127.0.0.1"}, service


def test_no_container_shows_a_password(system: Composed) -> None:
    """`docker inspect` shows a container's environment and command."""
    password = system.compose("exec", "-T", "postgres", "cat", "/run/secrets/owner/password")
    assert len(password) >= 24
    for service in ("secrets", "postgres", "migrate", "payments-api", "recon-worker"):
        assert password not in json.dumps(system.containers(service))


def test_each_service_reads_only_its_own_password(system: Composed) -> None:
    program = "import os; print(sorted(os.listdir('/run/secrets')))"
    for service, expected in (("payments-api", ["api"]), ("recon-worker", ["worker"])):
        output = system.compose("exec", "-T", service, "python", "-c", program)
        assert output.strip() == str(expected)


def test_no_container_creates_an_anonymous_volume(system: Composed) -> None:
    """`down` would leave such a volume behind."""
    for service in ("secrets", "postgres", "migrate", "payments-api", "recon-worker"):
        mounts = system.containers(service)[0]["Mounts"]
        volumes = {mount["Name"] for mount in mounts if mount["Type"] == "volume"}
        assert all(name.startswith(system.project) for name in volumes), service


def test_the_api_has_no_access_to_the_ledger(system: Composed) -> None:
    assert (
        system.sql("SELECT has_table_privilege('payments_api', 'ledger_entries', 'INSERT')") == "f"
    )


def test_the_page_cannot_reach_the_database(system: Composed) -> None:
    program = "import socket; socket.create_connection(('postgres', 5432), 2)"
    with pytest.raises(AssertionError, match=r"Name or service not known|Temporary failure"):
        system.compose("exec", "-T", "payments-ui", "python", "-c", program)


def test_services_run_without_root_and_cannot_write_their_root(system: Composed) -> None:
    program = "import os; print(os.getuid()); open('/app/x', 'w')"
    for service in ("payments-api", "recon-worker", "payments-ui"):
        with pytest.raises(AssertionError, match=r"(?s)10001.*Read-only file system"):
            system.compose("exec", "-T", service, "python", "-c", program)


def test_three_workers_share_the_work_and_one_port(system: Composed) -> None:
    system.compose("up", "--detach", "--no-recreate", "--scale", "recon-worker=3")
    eventually("three workers alive", lambda: living_workers(system) == 3)
    for _ in range(6):
        health = httpx.get(f"http://127.0.0.1:{system.worker_port}/health", timeout=10)
        assert health.json()["status"] == "ok"
    for number in range(30):
        assert system.post(f"scaled-{number % 3}", "1.00").status_code == 201
    eventually("30 payments settled", lambda: system.balance("scaled-0") == "10.00")
    system.compose("up", "--detach", "--no-recreate", "--scale", "recon-worker=1")


def living_workers(system: Composed) -> int:
    workers = httpx.get(f"{system.api_url}/workers", timeout=10).json()["workers"]
    return sum(1 for worker in workers if worker["alive"])


def test_a_killed_worker_restarts_and_finishes(system: Composed) -> None:
    for service in ("recon-worker", "payments-api"):
        pid = system.containers(service)[0]["State"]["Pid"]
        # Not `docker kill`: after that, the engine does not restart the container.
        subprocess.run(["kill", "-KILL", str(pid)], check=True)
    eventually("an answer from the API", lambda: system.post("killed", "5.00").status_code == 201)
    eventually("the balance", lambda: system.balance("killed") == "5.00")
    assert system.containers("recon-worker")[0]["RestartCount"] >= 1


def test_a_restart_of_postgres_loses_nothing(system: Composed) -> None:
    assert system.post("restarted", "7.00", key="restart-1").status_code == 201
    system.compose("restart", "postgres")
    eventually("the balance", lambda: system.balance("restarted") == "7.00")
    eventually("a new payment", lambda: system.post("restarted", "1.00").status_code == 201)
    assert system.post("restarted", "7.00", key="restart-1").headers["Idempotency-Replayed"]
    eventually("both balances", lambda: system.balance("restarted") == "8.00")


def test_the_load_profile_pays(system: Composed) -> None:
    before = int(system.sql("SELECT count(*) FROM payments"))
    system.compose("--profile", "load", "up", "--detach", "--no-recreate", "load")
    eventually(
        "fifty payments", lambda: int(system.sql("SELECT count(*) FROM payments")) > before + 50
    )
    system.compose("--profile", "load", "stop", "load")
    assert system.containers("load")[0]["State"]["ExitCode"] == 0


# An OTLP/HTTP collector that prints the service name of each received export.
COLLECTOR = """
import http.server
class Receive(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        names = (b"payments-api", b"recon-worker", b"payments-ui")
        print(self.path, *(name.decode() for name in names if name in body), flush=True)
http.server.HTTPServer(("", 4318), Receive).serve_forever()
"""


def test_traces_reach_a_collector_started_later_without_configuration(system: Composed) -> None:
    """The collector starts by name beside running services, as with `--profile observability`."""
    for service in ("payments-api", "recon-worker"):
        log = system.compose("logs", "--no-log-prefix", service)
        assert "collector_awaited" in log
        assert "telemetry_failed" not in log, "a warning about a disabled profile"
    image = system.containers("payments-api")[0]["Config"]["Image"]
    run = ("docker", "run", "--detach", "--rm", "--network", f"{system.project}_services")
    alias = ("--network-alias", "otel-collector", "--entrypoint", "python")
    collector = system.run(*run, *alias, image, "-uc", COLLECTOR).strip()

    def received() -> bool:
        system.post("traced", "1.00")
        log = system.run("docker", "logs", collector)
        return "/v1/traces payments-api" in log and "/v1/traces recon-worker" in log

    try:
        eventually("spans of API and worker", received)
    finally:
        system.run("docker", "kill", collector)


def test_every_service_exits_within_its_grace_period(system: Composed) -> None:
    """Status 137 would mean the engine's SIGKILL after the grace period."""
    system.compose("stop")
    for service in ("payments-api", "recon-worker", "payments-ui", "postgres"):
        assert system.containers(service)[0]["State"]["ExitCode"] == 0, service


def test_down_keeps_the_data_and_down_v_does_not(system: Composed) -> None:
    assert system.post("kept", "3.00").status_code == 201
    eventually("the balance", lambda: system.balance("kept") == "3.00")
    system.compose("down")
    system.up()
    assert system.balance("kept") == "3.00"
    system.compose("down", "--volumes")
    assert system.run("docker", "volume", "ls", "-q", "-f", f"name={system.project}") == ""


def test_given_passwords_are_used_unchanged(images: str) -> None:
    given = REPOSITORY / ".cache/test-secrets"
    given.mkdir(parents=True, exist_ok=True)
    for role in ("owner", "api", "worker", "readonly"):
        (given / role).write_text(f"given-{role}-password")
        (given / role).chmod(0o600)
    with composed(images) as system:
        system.environ["SECRETS_DIR"] = str(given)
        system.compose("up", "--detach", "--wait", "postgres")
        system.compose("run", "--rm", "migrate")
        network = f"{system.project}_database"
        for role, user in (("owner", "postgres"), ("readonly", "payments_readonly")):
            url = f"postgresql://{user}:given-{role}-password@postgres/payments"
            image = system.containers("postgres")[0]["Config"]["Image"]
            output = system.run(
                "docker",
                "run",
                "--rm",
                "--network",
                network,
                image,
                "psql",
                url,
                "-tAc",
                "SELECT current_user",
            )
            assert output.strip() == user
