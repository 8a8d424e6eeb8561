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


def test_engine_without_a_verb_prints_its_usage() -> None:
    output = engine("")
    assert output.returncode == 2
    assert "deploy/airgap/engine start" in output.stdout


@pytest.mark.engine
def test_a_running_engine_is_left_alone(tmp_path: Path) -> None:
    environ = {"ENGINE_STATE_DIR": str(tmp_path)}
    assert "an engine answers already" in engine("start", **environ).stdout
    assert "started none" in engine("stop", **environ).stdout
    assert subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@pytest.mark.engine
@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("dockerd"), reason="needs root, dockerd")
def test_an_engine_is_started_and_stopped(tmp_path: Path) -> None:
    """Start a second engine, beside the one of the other tests.

    It needs a separate network namespace, because it would take the bridge docker0 from the other
    engine.
    """
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "dockerd").write_text(
        f'#!/bin/sh\nexec unshare --net {shutil.which("dockerd")} "$@"\n'
    )
    (programs / "dockerd").chmod(0o755)
    # A socket's path is limited to 108 bytes, which pytest's folder would exceed.
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
        # A killed engine leaves its data folder mounted, so that pytest could not remove it.
        subprocess.run(["umount", "--lazy", tmp_path / "data"], capture_output=True, check=False)
    assert docker0.exists() == bridge_was_there


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("dockerd"), reason="needs root, dockerd")
def test_an_engine_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    output = engine(
        "start",
        DOCKER_HOST=f"unix://{tmp_path}/none.sock",
        ENGINE_OPTIONS="--no-such-option",
        ENGINE_STATE_DIR=str(tmp_path / "state"),
    )
    assert output.returncode == 1
    assert "unknown flag: --no-such-option" in output.stderr
    assert "did not answer" in output.stderr
