"""The Makefile's texts: its help, and its errors on a machine that cannot run it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from payments_local.settings import REPOSITORY


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run make in the folder, as from a plain shell: not as a part of an outer make."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *words],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def python_that(folder: Path, script: str) -> Path:
    """Create a stand-in for python3."""
    path = folder / "fake python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Create the part of a clone that make reads before anything is installed."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    for pattern in ("*/pyproject.toml", "deploy/local/pyproject.toml", "tests/*/pyproject.toml"):
        for manifest in REPOSITORY.glob(pattern):
            copy = tmp_path / manifest.relative_to(REPOSITORY)
            copy.parent.mkdir(parents=True)
            shutil.copy(manifest, copy)
    (tmp_path / "benchmarks").mkdir()
    shutil.copy(REPOSITORY / "benchmarks/benchmarks.mk", tmp_path / "benchmarks")
    return tmp_path


def test_help_is_what_plain_make_prints(clone: Path) -> None:
    done = make(clone)
    assert (done.returncode, done.stderr) == (0, "")
    for target in ("up", "reset", "install", "test", "check", "validate", "bench", "lock", "fmt"):
        assert f"  make {target} " in done.stdout


@pytest.mark.parametrize(
    ("script", "line"),
    [
        (
            'case $1 in --version) echo "Python 3.9.2";; *) exit 1;; esac',
            "Python 3.9.2 is too old: 3.11 or newer is required; run make PYTHON=/path/to/python3",
        ),
        (
            "case $2 in *ensurepip*) exit 1;; esac",
            "has no venv and ensurepip: install them (Debian and Ubuntu: apt install python3-venv)",
        ),
    ],
    ids=["too old", "without ensurepip"],
)
def test_an_unsuitable_python_is_reported_in_one_line(clone: Path, script: str, line: str) -> None:
    done = make(clone, "install", f"PYTHON={python_that(clone, script)}")
    assert done.returncode != 0
    errors = [said for said in done.stderr.splitlines() if said.startswith("error:")]
    assert len(errors) == 1
    assert line in errors[0]


def test_a_missing_python_is_reported_in_one_line(clone: Path) -> None:
    done = make(clone, "install", "PYTHON=python-of-nowhere")
    assert done.returncode != 0
    assert done.stderr.startswith("error: python-of-nowhere is not installed: install Python 3.11")


def test_a_link_to_another_clones_venv_is_not_emptied(clone: Path, tmp_path: Path) -> None:
    other = tmp_path / "other clone" / ".venv"
    (other / "bin").mkdir(parents=True)
    shutil.copy("/bin/true", other / "bin/python")
    (other / ".installed").write_text("/other/clone\n")
    (clone / ".venv").symlink_to(other)
    done = make(clone, "install")
    assert done.returncode != 0
    assert done.stderr.startswith(f"error: .venv is a link to {other}, which another clone may use")
    assert sorted(path.name for path in other.iterdir()) == [".installed", "bin"]


@pytest.mark.parametrize(("command", "status"), [("sleep 2.5", 0), ("exit 7", 7)])
def test_installation_steps_show_progress(command: str, status: int) -> None:
    done = subprocess.run(
        [REPOSITORY / "deploy/local/step", "Installing uv", "sh", "-c", command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status
    shown = r"Installing uv \.{2,} \d+ s\n" if status == 0 else r"Installing uv \.*\n"
    assert re.fullmatch(shown, done.stdout)


def test_the_lock_names_no_host() -> None:
    assert "://" not in (REPOSITORY / "requirements.lock").read_text()
