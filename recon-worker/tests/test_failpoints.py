"""Fault points: no effect unless armed, exact when armed, and armed only by tests."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import recon_worker
from recon_worker.failpoints import POINTS, VARIABLE, FaultPoint

ROOT = Path(__file__).parents[2]
SOURCE = Path(recon_worker.__file__).parent
# Files that may name the variable: this one, the module that reads it, and the fault suite.
MAY_NAME_IT = (
    "recon-worker/src/recon_worker/failpoints.py",
    "tests/",
    "docs/reliability.md",
)
CACHES = {".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", "__pycache__"}
NOT_OURS = {".git", ".venv", ".cache", ".data", "build", "node_modules", *CACHES}


def reach_all_twice(armed: str | None) -> int:
    """Return the exit status of a process that reaches every point twice; negative is a signal."""
    script = (
        "from recon_worker.failpoints import POINTS, reach\n"
        "for point in (*POINTS, *POINTS): reach(point)"
    )
    environ = {name: value for name, value in os.environ.items() if name != VARIABLE}
    environ |= {} if armed is None else {VARIABLE: armed}
    running = [sys.executable, "-c", script]
    return subprocess.run(running, env=environ, check=False, capture_output=True).returncode


def test_without_the_variable_reaching_a_point_does_nothing() -> None:
    assert reach_all_twice(None) == 0


def test_an_armed_point_ends_the_process_at_the_given_time_and_not_before() -> None:
    assert reach_all_twice("kill after_commit 2") == -signal.SIGKILL
    assert reach_all_twice("kill after_commit 3") == 0


@pytest.mark.parametrize(
    "text", ["", "kill", "kill after_commit", "maim after_claim 1", "kill nowhere 1", "kill x y z"]
)
def test_an_unknown_point_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="such as 'kill after_claim 1'"):
        FaultPoint(text)


def test_an_unreachable_count_is_rejected() -> None:
    with pytest.raises(ValueError, match=VARIABLE):
        FaultPoint("kill after_claim 0")


def test_every_point_is_used_exactly_once() -> None:
    reached = [
        point
        for path in SOURCE.rglob("*.py")
        for point in re.findall(r'^\s+reach\("(\w+)"\)', path.read_text(), re.MULTILINE)
    ]
    assert sorted(reached) == sorted(POINTS)


def test_no_image_manifest_or_setting_names_the_variable() -> None:
    named = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS]
        for file in files:
            path = Path(folder, file)
            relative = path.relative_to(ROOT).as_posix()
            ours = relative.startswith(MAY_NAME_IT) or path == Path(__file__)
            if not ours and path.is_file() and VARIABLE.encode() in path.read_bytes():
                named.append(relative)
    assert named == []
