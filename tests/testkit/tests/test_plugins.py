"""Plugins: leak detection by test name, and scheduling by group."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from payments_local.settings import REPOSITORY
from testkit.plugins.groups import group_of

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


@pytest.mark.parametrize("culprit", CULPRITS.values(), ids=CULPRITS.keys())
def test_a_leaking_test_fails_by_its_own_name(culprit: str, tmp_path: Path) -> None:
    file = tmp_path / "test_leaks.py"
    file.write_text(PREAMBLE.format(culprit=culprit))
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "testkit.plugins.leaks"),
        *("-c", str(REPOSITORY / "pyproject.toml"), "--rootdir", str(tmp_path), str(file)),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    named = re.findall(r"^(?:ERROR|FAILED) test_leaks.py::(\w+)", done.stdout, re.MULTILINE)
    assert set(named) == {"test_culprit"}, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/browser/test_list.py::test_a[x/y]", "browser"),
        ("tests/crash/test_crashes.py::test_b", "faults"),
        ("payments-core/tests/db/test_tls.py::test_c", "payments-core/tests/db/test_tls.py"),
    ],
)
def test_tests_are_grouped_by_shared_folder_or_by_file(nodeid: str, group: str) -> None:
    assert group_of(nodeid) == group
