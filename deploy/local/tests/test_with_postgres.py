"""`payments_local with-postgres`: a server for one command, and nothing of it afterwards."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from payments_local.settings import REPOSITORY

from .local_run import assert_all_gone

WITH_POSTGRES = (sys.executable, "-m", "payments_local", "with-postgres")
HEARS_SIGHUP = (
    *(sys.executable, "-c"),
    "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL);"
    " os.execv(sys.argv[1], sys.argv[1:])",
)
SECONDS_MAX = 60.0
# Cleans up when it is stopped, and takes longer for it than a moment.
COMMAND = 'trap "sleep 1; echo cleaned up; exit" TERM; echo started; while :; do sleep 0.1; done'


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_and_removes_the_server(
    tmp_path: Path, number: signal.Signals
) -> None:
    tmp_path.chmod(0o755)
    # Under `nohup` the tests pass an ignored SIGHUP on, which the command respects.
    waiting = subprocess.Popen(
        [*HEARS_SIGHUP, *WITH_POSTGRES, "bash", "-c", COMMAND],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stdout is not None
    assert waiting.stdout.readline()
    family = psutil.Process(waiting.pid).children(recursive=True)
    assert len(family) > 1
    for _ in range(2 if number == signal.SIGTERM else 1):  # From a group and from make.
        waiting.send_signal(number)
    message = "interrupted\n" if number == signal.SIGINT else ""
    assert waiting.communicate(timeout=SECONDS_MAX) == ("cleaned up\n", message)
    assert waiting.returncode == 128 + number
    assert_all_gone(family)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("sh", "-c", "exit 3"), 3, ""),
        (("sh", "-c", "kill -9 $$"), 137, ""),
        (
            ("no-such-command",),
            126,
            "cannot start no-such-command: [Errno 2] No such file or directory\n",
        ),
    ],
)
def test_the_status_is_that_of_the_command(
    words: tuple[str, ...], status: int, message: str
) -> None:
    done = subprocess.run(
        [*WITH_POSTGRES, *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert (done.returncode, done.stderr) == (status, message)
