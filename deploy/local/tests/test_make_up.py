"""The real `make up` with real services, run from a shell."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from payments_local.postgres import running_postgres
from payments_local.settings import REPOSITORY

from .local_run import LocalRun, assert_all_gone

READY = "Ready. Ctrl-C stops everything."
# -o: .venv counts as up to date, so a test never reinstalls the code under test.
MAKE_UP = ("make", "-o", ".venv/.installed", "up")
SECONDS_MAX = 60.0


def paste(run: LocalRun, first_words: str) -> str:
    """Run the announced command that starts with these words in a shell; return its output."""
    begin = next(at for at, line in enumerate(run.lines) if line.strip().startswith(first_words))
    end = next(at for at in range(begin, len(run.lines)) if not run.lines[at].endswith("\\"))
    command = "\n".join(run.lines[begin : end + 1])
    return subprocess.check_output(["sh", "-c", command], text=True, timeout=SECONDS_MAX)


def jobs_after_its_export_line(run: LocalRun) -> str:
    """Run the announced `export` line in another shell, and a make target after it."""
    (export,) = (line.strip() for line in run.lines if line.strip().startswith("export "))
    names = ("API_PORT", "UI_PORT", "WORKER_PORT", "PG_PORT", "DATABASE_URL")
    environ = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.check_output(
        ["sh", "-c", f"{export}; {' '.join(MAKE_UP[:-1])} jobs"],
        env=environ,
        cwd=REPOSITORY,
        text=True,
        timeout=SECONDS_MAX,
    )


def balance(run: LocalRun) -> str:
    answer = paste(run, f"curl -sS http://127.0.0.1:{run.environ['API_PORT']}/accounts/")
    return str(json.loads(answer)["balance"])


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_announced_commands_work_and_data_survives_a_restart(tmp_path: Path) -> None:
    with LocalRun(tmp_path / "data", MAKE_UP) as run:
        run.until("/balance; echo")
        family = run.family()
        assert balance(run) == "0.00"
        payment = json.loads(paste(run, f"curl -sS http://127.0.0.1:{run.environ['API_PORT']}/p"))
        assert payment["status"] == "pending"
        assert jobs_after_its_export_line(run) == "no dead letters\n"
        deadline = time.monotonic() + SECONDS_MAX
        while balance(run) != "100.00":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        run.signal(signal.SIGTERM)
        assert run.wait() == -signal.SIGTERM  # make reports that SIGTERM ended it.
        assert_all_gone(family)
    assert "stopped" in run.lines
    assert "did not stop in time" not in run.output
    assert not [line for line in run.lines if "{" in line and "|" in line], "JSON behind a label"
    assert "WARNING" not in run.output, "no news"

    with LocalRun(tmp_path / "data", MAKE_UP) as run:
        run.until("/balance; echo")
        assert balance(run) == "100.00"


def test_make_up_uses_a_given_database(tmp_path: Path) -> None:
    with (
        running_postgres() as server,
        LocalRun(tmp_path / "unused", MAKE_UP, DATABASE_URL=server.url) as run,
    ):
        run.until(READY)
        family = run.family()
        run.signal(signal.SIGTERM)
        run.wait()
        assert_all_gone(family)
    assert "postgres |" not in run.output
    assert not (tmp_path / "unused").exists()
