"""automations.yaml: accepted by Ona, and runnable."""

import os
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from payments_local.ports import free_port

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "automations.yaml"
SCHEMA = Path(__file__).with_name("ona_schema.py")
AUTOMATIONS: dict[str, Any] = yaml.safe_load(FILE.read_text())
RUN_SECONDS_MAX = 240
COMMANDS = [task["command"] for task in AUTOMATIONS["tasks"].values()] + [
    command
    for service in AUTOMATIONS["services"].values()
    for command in service["commands"].values()
]


def make(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )


@pytest.fixture(scope="module")
def schema_python() -> str:
    made = make(".cache/tools/ona-schema/.done")
    if made.returncode != 0:
        pytest.skip(f"Ona's schema cannot be installed here: {made.stderr.strip()[-200:]}")
    return str(ROOT / ".cache/tools/ona-schema/bin/python")


def check(python: str, file: Path) -> str:
    found = subprocess.run(
        [python, str(SCHEMA), str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert not found.stderr, found.stderr
    return found.stdout.strip()


def test_both_copies_of_the_file_are_equal() -> None:
    assert (ROOT / ".ona/automations.yaml").read_bytes() == FILE.read_bytes()


def test_the_file_is_valid_by_onas_schema(schema_python: str) -> None:
    assert check(schema_python, FILE) == ""


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda file: file["services"]["api"].update(dependsOn=["postgres"]), "dependsOn"),
        (lambda file: file["tasks"]["migrate"].update(env={"A": "b"}), "env"),
        (lambda file: file["services"]["api"].update(triggeredBy=["always"]), "triggeredBy"),
        (lambda file: file["services"]["ui"].update(readinessTimeout="90000s"), "out of range"),
        (lambda file: file["services"].update({"no spaces": {"name": "x"}}), "does not match"),
        (lambda file: file["tasks"]["migrate"].update(name=""), "name: '' is shorter"),
    ],
)
def test_the_schema_detects_errors(
    schema_python: str, tmp_path: Path, change: Any, complaint: str
) -> None:
    broken = yaml.safe_load(FILE.read_text())
    change(broken)
    file = tmp_path / "automations.yaml"
    file.write_text(yaml.safe_dump(broken))
    assert complaint in check(schema_python, file)


def test_tasks_and_services_have_the_agreed_names() -> None:
    assert list(AUTOMATIONS["tasks"]) == ["install-deps", "migrate", "validate"]
    assert sorted(AUTOMATIONS["services"]) == ["api", "postgres", "ui", "worker"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one_make_target_that_exists(command: str) -> None:
    assert re.fullmatch(r"make [a-z-]+", command)
    assert make("--dry-run", command.removeprefix("make ")).returncode == 0


def test_a_new_environment_migrates_automatically() -> None:
    assert "postDevcontainerStart" in AUTOMATIONS["tasks"]["migrate"]["triggeredBy"]
    for service in AUTOMATIONS["services"].values():
        # On every start of the environment, and on a rebuild of its container.
        assert set(service["triggeredBy"]) == {"postEnvironmentStart", "postDevcontainerStart"}


def run_as_ona(tmp_path: Path, postgres_runs_in: str) -> tuple[str, dict[str, str]]:
    names = ("PG_PORT", "API_PORT", "UI_PORT", "WORKER_PORT")
    environ = {name: str(free_port()) for name in names}
    environ |= {"DATA_DIR": str(tmp_path / "data"), "POSTGRES_RUNS_IN": postgres_runs_in}
    done = make("ona", "ARGS=--then validate", **environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "task validate: done" in done.stdout
    assert done.stdout.count(": stopped in ") == 4
    assert len([line for line in done.stdout.splitlines() if line.startswith("✅ ")]) == 8
    assert "ALL VALIDATION CHECKS PASSED" in done.stdout
    return (tmp_path / "data/ona-logs/task-validate.log").read_text(), environ


@pytest.mark.timeout(RUN_SECONDS_MAX)
def test_the_whole_file_runs_with_an_embedded_postgres(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    log, environ = run_as_ona(tmp_path, "embedded")
    assert "ALL VALIDATION CHECKS PASSED" in log
    for variable in ("PG_PORT", "API_PORT", "UI_PORT", "WORKER_PORT"):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(environ[variable])), 2)


@pytest.mark.engine
@pytest.mark.timeout(RUN_SECONDS_MAX)
def test_the_whole_file_runs_with_postgres_in_a_container(tmp_path: Path) -> None:
    container = None
    try:
        log, environ = run_as_ona(tmp_path, "container")
        container = f"payments-postgres-{environ['PG_PORT']}"
        assert "ALL VALIDATION CHECKS PASSED" in log
        left = ["docker", "ps", "--all", "--quiet", "--filter", f"name={container}"]
        assert subprocess.check_output(left) == b""
    finally:
        if container is not None:
            subprocess.run(["docker", "volume", "rm", container], check=True, capture_output=True)


@pytest.mark.parametrize(
    "runs_in", ["embedded", pytest.param("container", marks=pytest.mark.engine)]
)
def test_the_troubleshooting_commands_work_without_a_password(tmp_path: Path, runs_in: str) -> None:
    tmp_path.chmod(0o755)
    port = str(free_port())
    environ = {"PG_PORT": port, "DATA_DIR": str(tmp_path / "data"), "POSTGRES_RUNS_IN": runs_in}
    where = ["-h", "localhost", "-p", port, "-U", "postgres", "-d", "payments"]
    programs = Path(postgres_programs())
    start = subprocess.Popen(["make", "start-postgres"], cwd=ROOT, env={**os.environ, **environ})
    try:
        for _ in range(120):
            if make("ready-postgres", **environ).returncode == 0:
                break
            time.sleep(0.25)
        for command in (["pg_isready", *where], ["psql", *where, "-c", "SELECT 1"]):
            subprocess.run([programs / command[0], *command[1:]], check=True)
    finally:
        stopped = make("stop-postgres", **environ)
        assert start.wait(30) == 0
        if runs_in == "container":
            subprocess.run(["docker", "volume", "rm", f"payments-postgres-{port}"], check=True)
    assert stopped.returncode == 0, stopped.stderr


def postgres_programs() -> str:
    """Return the folder of psql and pg_isready, which `make devcontainer` puts on PATH."""
    from payments_local.postgres import BIN

    return str(BIN)


def test_a_service_that_does_not_get_ready_names_the_missing_port(tmp_path: Path) -> None:
    ready = make("ready-worker", WORKER_PORT=str(free_port()), DATA_DIR=str(tmp_path))
    assert ready.returncode != 0
    assert "worker is not ready: no answer on port" in ready.stderr


@pytest.mark.parametrize("target", ["ona", "ready-api", "migrate"])
def test_an_invalid_setting_is_named_in_one_line(target: str) -> None:
    done = make(target, API_PORT="none")
    assert done.stderr.splitlines()[0] == (
        "error: API_PORT='none' is not a port: give a number from 1 to 65535"
    )
    assert "Traceback" not in done.stderr


def test_stopping_a_stopped_service_succeeds(tmp_path: Path) -> None:
    assert make("stop-api", DATA_DIR=str(tmp_path)).returncode == 0
