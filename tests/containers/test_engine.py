"""deploy/airgap/engine starts an engine if none answers, and stops only that one."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "deploy/airgap/engine"


def engine(verb: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ENGINE), verb],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_without_a_verb_it_explains_itself() -> None:
    said = engine("")
    assert said.returncode == 2
    assert "deploy/airgap/engine start" in said.stdout


@pytest.mark.engine
def test_an_engine_that_answers_is_left_alone(tmp_path: Path) -> None:
    environ = {"ENGINE_STATE_DIR": str(tmp_path)}
    assert "an engine answers already" in engine("start", **environ).stdout
    assert "started none" in engine("stop", **environ).stdout
    assert subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@pytest.mark.engine
@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("dockerd"), reason="needs root, dockerd")
def test_it_starts_one_and_stops_it(tmp_path: Path) -> None:
    """A second engine, beside the one that runs the other tests.

    It has a separate network namespace: an engine claims the bridge docker0, and would take it from
    the other.
    """
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "dockerd").write_text(
        f'#!/bin/sh\nexec unshare --net {shutil.which("dockerd")} "$@"\n'
    )
    (programs / "dockerd").chmod(0o755)
    # A socket's path may have 108 bytes, which pytest's own folder uses up: its sockets are here.
    run = Path(f"/run/payments-test-{os.getpid()}")
    run.mkdir()
    socket = run / "docker.sock"
    options = f"--host unix://{socket} --data-root {tmp_path}/data --exec-root {run}"
    options += f" --pidfile {tmp_path}/pid --iptables=false"
    environ = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "DOCKER_HOST": f"unix://{socket}",
        "ENGINE_OPTIONS": options,
        "ENGINE_STATE_DIR": str(tmp_path / "state"),
    }
    docker0 = Path("/sys/class/net/docker0")
    bridge_was_there = docker0.exists()
    try:
        started = engine("start", **environ)
        assert started.returncode == 0, started.stderr
        assert "dockerd answers" in started.stdout
        assert "an engine answers already" in engine("start", **environ).stdout
        stopped = engine("stop", **environ)
        assert "stopped" in stopped.stdout, stopped.stderr
        assert "started none" in engine("stop", **environ).stdout
    finally:
        engine("stop", **environ)
        shutil.rmtree(run, ignore_errors=True)
        # An engine that was killed leaves its data folder mounted, which pytest could not remove.
        subprocess.run(["umount", "--lazy", tmp_path / "data"], capture_output=True, check=False)
    assert docker0.exists() == bridge_was_there


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("dockerd"), reason="needs root, dockerd")
def test_one_that_cannot_start_shows_its_last_words(tmp_path: Path) -> None:
    said = engine(
        "start",
        DOCKER_HOST=f"unix://{tmp_path}/none.sock",
        ENGINE_OPTIONS="--no-such-option",
        ENGINE_STATE_DIR=str(tmp_path / "state"),
    )
    assert said.returncode == 1
    assert "unknown flag: --no-such-option" in said.stderr
    assert "did not answer" in said.stderr
