"""`make up` end to end with a real Postgres and real signals; the services are stand-ins."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from payments_local.postgres import BIN
from payments_local.settings import REPOSITORY

from .local_run import FAKE_UP, LocalRun, assert_all_gone, environ_of_a_run

READY = "Ready. Ctrl-C stops everything."
# Make counts .venv as up to date (-o): these tests are about signals.
MAKE_UP = ("make", "-o", ".venv/.installed", "up")
only_on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="death signals, and these options of script(1), are Linux's"
)
FAKE_LOCAL = f"LOCAL=.venv/bin/python {Path(__file__).parent}/fake_up.py"


def sql(run: LocalRun, statement: str) -> str:
    url = f"postgresql://postgres@localhost:{run.environ['PG_PORT']}/payments"
    return subprocess.check_output([str(BIN / "psql"), url, "-XAtc", statement], text=True).strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_ends_all_processes_in_order(data_dir: Path, number: signal.Signals) -> None:
    with LocalRun(data_dir) as run:
        run.until(READY)
        family = run.family()
        run.signal(number)
        assert run.wait() == 0
        assert_all_gone(family)
    told = [line.split()[0] for line in run.lines if "asked to stop" in line]
    assert told == ["ui", "api", "worker"]
    assert "database system is shut down" in run.lines[-2]
    assert run.lines[-1] == "stopped"


def test_each_service_uses_its_own_role_and_the_page_has_none(data_dir: Path) -> None:
    with LocalRun(data_dir) as run:
        run.until(READY)
    said = {line.split()[0]: line.split()[-1] for line in run.lines if "serving as" in line}
    port = run.environ["PG_PORT"]
    assert said == {
        "worker": f"postgresql://payments_worker@127.0.0.1:{port}/payments",
        "api": f"postgresql://payments_api@127.0.0.1:{port}/payments",
        "ui": "nobody",
    }


def test_a_second_start_keeps_the_data(tmp_path: Path) -> None:
    data_dir = tmp_path / "new"
    with LocalRun(data_dir) as run:
        run.until(READY)
        sql(run, "CREATE TABLE diary AS SELECT 'yesterday' AS day")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    with LocalRun(data_dir) as run:
        run.until(READY)
        assert sql(run, "SELECT day FROM diary") == "yesterday"


@only_on_linux
def test_killing_the_supervisor_ends_its_children(data_dir: Path) -> None:
    with LocalRun(data_dir) as run:
        run.until(READY)
        family = run.family()
        run.signal(signal.SIGKILL)
        assert_all_gone(family)
    with LocalRun(data_dir) as run:  # Postgres had time to shut down: no recovery, no leftovers.
        run.until(READY)
        assert "recovery" not in run.output


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=only_on_linux)]
)
def test_a_signal_to_make_alone_stops_everything(data_dir: Path, number: signal.Signals) -> None:
    with LocalRun(data_dir, [*MAKE_UP, FAKE_LOCAL]) as run:
        run.until(READY)
        family = run.family()
        run.signal(number)
        assert run.wait() == -number
        assert_all_gone(family)
    assert "stopped" in run.lines


def test_a_stop_during_the_start_stops(data_dir: Path) -> None:
    with LocalRun(data_dir, FAKE_API="never-ready") as run:
        run.until("ui       | serving")
        family = run.family()
        run.signal(signal.SIGINT)
        assert run.wait() == 0
        assert_all_gone(family)


def test_a_second_ctrl_c_forces(data_dir: Path) -> None:
    with LocalRun(data_dir, FAKE_API="ignores-sigterm") as run:
        run.until(READY)
        family = run.family()
        run.signal(signal.SIGINT)
        run.until("api      | asked to stop")
        run.signal(signal.SIGINT)
        run.wait()
        assert_all_gone(family)
    assert "did not stop in time" not in run.output


def test_a_second_sigterm_changes_nothing(data_dir: Path) -> None:
    """`timeout make up` sends one to the whole group, and make passes its own on."""
    with LocalRun(data_dir) as run:
        run.until(READY)
        run.signal(signal.SIGTERM)
        run.until("asked to stop")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    assert "database system is shut down" in run.output
    assert len([line for line in run.lines if line.endswith("bye")]) == 3


def test_a_child_that_ignores_the_stop_is_ended_by_force(data_dir: Path) -> None:
    with LocalRun(data_dir, FAKE_API="ignores-sigterm") as run:
        run.until(READY)
        family = run.family()
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert_all_gone(family)
    assert "api did not stop in time: ending it by force" in run.lines


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ({"FAKE_API": "dies"}, "error: api exited with status 3; its last lines:"),
        ({"FAKE_MIGRATE": "7"}, "error: migrate exited with status 7; its last lines:"),
    ],
)
def test_a_dead_child_ends_the_run_with_one_line(
    data_dir: Path, fault: dict[str, str], line: str
) -> None:
    with LocalRun(data_dir, **fault) as run:
        assert run.wait() == 1
    assert [said for said in run.lines if said.startswith("error:")] == [line]
    if "FAKE_API" in fault:
        assert run.lines[-1] == "  the flux capacitor is missing"
    assert not [process for process in psutil.process_iter() if _works_in(process, data_dir)]


def test_a_service_that_dies_is_restarted(data_dir: Path) -> None:
    with LocalRun(data_dir) as run:
        run.until(READY)
        api = next(one for one in run.family() if run.environ["API_PORT"] in one.cmdline())
        api.kill()
        run.until("restarting api ...")
        run.until("api is ready again")
        family = run.family()
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert_all_gone(family)
    assert "api was ended by SIGKILL; its last lines:" in run.lines
    told = [line.split()[0] for line in run.lines if "asked to stop" in line]
    assert told == ["ui", "api", "worker"]


def test_a_second_death_in_a_row_ends_the_run_with_the_services_output(data_dir: Path) -> None:
    with LocalRun(data_dir, FAKE_API="dies-second") as run:
        run.until(READY)
        family = run.family()
        run.until("restarting api ...")
        assert run.wait() == 1
        assert_all_gone(family)
    assert "error: api exited with status 3; its last lines:" in run.lines
    assert run.lines[-1] == "  the flux capacitor is missing"


def test_more_than_three_deaths_in_a_minute_end_the_run(data_dir: Path) -> None:
    with LocalRun(data_dir, FAKE_UI="dies-later") as run:
        assert run.wait() == 1
    assert [line for line in run.lines if line.startswith("restarting")] == [
        "restarting ui ..."
    ] * 3
    assert "error: ui was ended by SIGKILL; its last lines:" in run.lines


def test_every_line_is_a_json_object_if_the_log_format_is_json(data_dir: Path) -> None:
    with LocalRun(data_dir, LOG_FORMAT="json") as run:
        run.until(READY)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    said = [json.loads(line) for line in run.lines]
    assert {line["service"] for line in said} >= {"postgres", "api", "worker", "ui", "make up"}


def test_a_dead_postgres_ends_the_run(data_dir: Path) -> None:
    with LocalRun(data_dir) as run:
        run.until(READY)
        postgres = next(process for process in run.family() if "postgres" in process.name())
        postgres.kill()
        assert run.wait() == 1
    assert "error: postgres was ended by SIGKILL; its last lines:" in run.lines


@pytest.mark.parametrize("name", ["API_PORT", "UI_PORT", "WORKER_PORT", "PG_PORT"])
def test_a_taken_port_is_reported_with_the_setting_to_change(data_dir: Path, name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with LocalRun(data_dir, **{name: str(port)}) as run:
            assert run.wait() == 2
    mine = psutil.Process()
    (line,) = run.lines
    assert line == (
        f"error: port {port} is taken by {mine.name()} (pid {mine.pid}): stop that, or choose"
        f" another port with {name}=..."
    )


def test_a_second_run_on_the_same_data_is_rejected(data_dir: Path) -> None:
    with LocalRun(data_dir) as first:
        first.until(READY)
        with LocalRun(data_dir) as second:
            assert second.wait() == 2
    (line,) = second.lines
    assert line == (
        f"error: another `make up` is running on {data_dir}: stop it first, or choose another"
        " folder with DATA_DIR=..."
    )


@pytest.mark.parametrize(
    ("output", "status", "words"),
    [
        ("| head -1 >/dev/null; exit ${PIPESTATUS[0]}", 141, []),
        (">/dev/full", 2, ["the output cannot be written: No space left on device"]),
    ],
    ids=["closed pipe", "full disk"],
)
def test_an_output_that_fails_stops_the_run(
    data_dir: Path, output: str, status: int, words: list[str]
) -> None:
    command = f".venv/bin/python {Path(__file__).parent}/fake_up.py up {output}"
    with LocalRun(data_dir, ["bash", "-c", command]) as run:
        assert (run.wait(), run.lines) == (status, words)
    deadline = time.monotonic() + 10
    while any(_works_in(process, data_dir) for process in psutil.process_iter()):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@only_on_linux
def test_a_closed_terminal_stops_the_run_although_make_passes_nothing_on(data_dir: Path) -> None:
    ours, its = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, str(FAKE_UP), "up"],
        env=environ_of_a_run(data_dir),
        stdout=its,
        stderr=subprocess.DEVNULL,
        cwd=REPOSITORY,
    )
    os.close(its)
    shown = b""
    while READY.encode() not in shown:
        shown += os.read(ours, 65_536)
    family = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
    os.close(ours)
    run.wait(30)
    assert_all_gone(family)


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return any(str(folder) in word for word in process.cmdline())
    except psutil.Error:
        return False


@only_on_linux
def test_ctrl_c_at_a_terminal_is_quiet_and_labels_are_coloured(data_dir: Path) -> None:
    """The terminal sends the signal to both make and the run; neither prints an error."""
    at_a_terminal = ["script", "-qec", f"{' '.join(MAKE_UP)} '{FAKE_LOCAL}'", "/dev/null"]
    with LocalRun(data_dir, at_a_terminal) as run:
        run.until(READY)
        family = run.family()
        run.type("\x03")
        run.wait()
        assert_all_gone(family)
    assert run.lines[-1] == "stopped"
    assert "\033[32mapi      |\033[0m bye" in run.lines
