"""Plugins: leaks by test name, scheduling by group, and a run with first parameters alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from payments_local.settings import REPOSITORY
from testkit.plugins.groups import group_of, rank_of

PREAMBLE = """
import asyncio, socket

async def fail():
    raise ConnectionError("lost")

async def test_culprit():
    {culprit}

def test_innocent():
    list(range(1000))
"""
CULPRITS = {
    "future": "asyncio.get_running_loop().create_future().set_exception(ConnectionError('lost'))",
    "task": "asyncio.create_task(fail()); await asyncio.sleep(0.01)",
    "pending task": "asyncio.Task(fail(), loop=(loop := asyncio.new_event_loop())); loop.close()",
    "coroutine": "fail()",
    "socket": "socket.socket()",
    "transport": "await asyncio.open_connection(sock=socket.socketpair()[0])",
}


FIXTURE_OF_A_FILE = """
import asyncio, pytest

@pytest.fixture(scope="module")
def holder():
    yield
    loop = asyncio.new_event_loop()
    loop.create_future().set_exception(ConnectionError("lost"))
    loop.close()

def test_first(holder):
    pass

def test_culprit(holder):
    pass
"""


def _failing(folder: Path) -> set[str]:
    """Run the folder's tests, and return the names of those that fail."""
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "testkit.plugins.leaks"),
        *("-c", str(REPOSITORY / "pyproject.toml"), "--rootdir", str(folder), str(folder)),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert "passed" in done.stdout, done.stdout + done.stderr
    return set(re.findall(r"^(?:ERROR|FAILED) test_\w+.py::(\w+)", done.stdout, re.MULTILINE))


@pytest.mark.parametrize("culprit", CULPRITS.values(), ids=CULPRITS.keys())
def test_a_leaking_test_fails_by_its_own_name(culprit: str, tmp_path: Path) -> None:
    (tmp_path / "test_leaks.py").write_text(PREAMBLE.format(culprit=culprit))
    assert _failing(tmp_path) == {"test_culprit"}


def test_a_leaking_fixture_of_a_file_fails_the_files_last_test(tmp_path: Path) -> None:
    (tmp_path / "test_leaks.py").write_text(FIXTURE_OF_A_FILE)
    (tmp_path / "test_next.py").write_text("def test_innocent():\n    pass\n")
    assert _failing(tmp_path) == {"test_culprit"}


def test_each_function_runs_once_with_its_first_parameters(tmp_path: Path) -> None:
    (tmp_path / "test_both.py").write_text(
        "import pytest\n@pytest.mark.parametrize('n', [1, 2, 3])\n"
        "def test_a(n):\n    assert n == 1\ndef test_b():\n    pass\n"
    )
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "testkit.plugins.parameters"),
        *("--first-parameters", "--rootdir", str(tmp_path), "-c", "/dev/null", str(tmp_path)),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed, 2 deselected" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/browser/test_list.py::test_a[x/y]", "browser"),
        ("tests/crash/test_crashes.py::test_b", "faults"),
        ("tests/containers/images/test_sbom.py::test_b", "engine"),
        ("payments-core/tests/db/test_tls.py::test_c", "payments-core/tests/db/test_tls.py"),
    ],
)
def test_tests_are_grouped_by_shared_folder_or_by_file(nodeid: str, group: str) -> None:
    assert group_of(nodeid) == group


def test_slow_tests_start_first() -> None:
    ids = ["payments-core/tests/test_a.py::a", "tests/test_a.py::a", "tests/crash/test_a.py::a"]
    assert [rank_of(each) for each in ids] == sorted(map(rank_of, ids), reverse=True)
    assert len(set(map(rank_of, ids))) == len(ids)
