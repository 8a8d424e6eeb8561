"""Drive one local run from outside, like a user at a terminal."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from payments_local.ports import free_port
from payments_local.settings import REPOSITORY

FAKE_UP = Path(__file__).with_name("fake_up.py")
SECONDS_MAX = 30.0


def environ_of_a_run(data_dir: Path) -> dict[str, str]:
    """Return variables that give a run this data folder, and ports of its own."""
    names = ("API_PORT", "UI_PORT", "WORKER_PORT", "PG_PORT")
    return {
        **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
        **{name: str(free_port()) for name in names},
        "DATA_DIR": str(data_dir),
    }


class LocalRun:
    """A started run; `lines` grows with its output."""

    def __init__(
        self, data_dir: Path, command: Sequence[str] | None = None, **environ: str
    ) -> None:
        self.environ = {**environ_of_a_run(data_dir), **environ}
        self.lines: list[str] = []
        self._said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            command or [sys.executable, str(FAKE_UP), "up"],
            env=self.environ,
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def until(self, text: str) -> str:
        """Return the next line that contains the text. Fails at the run's end, or after 30 s."""
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                line = self._said.get(timeout=0.5)
            except queue.Empty:
                continue
            assert line is not None, f"ended before it said {text!r}:\n{self.output}"
            if text in line:
                return line
        raise AssertionError(f"never said {text!r}:\n{self.output}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def wait(self) -> int:
        """Return the exit status, once all output is read."""
        status = self.process.wait(SECONDS_MAX)
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline:
            if self._said.get(timeout=SECONDS_MAX) is None:
                return status
        raise AssertionError("its output never ended: something still holds it")

    def family(self) -> list[psutil.Process]:
        """Return the process and all its descendants."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def __enter__(self) -> "LocalRun":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(SECONDS_MAX)
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._reader.join(SECONDS_MAX)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                self.lines.append(line.rstrip("\n"))
                self._said.put(self.lines[-1])
        self._said.put(None)


def assert_all_gone(family: Sequence[psutil.Process], seconds_max: float = 10.0) -> None:
    """Assert that none of these processes runs, or that each ends within the time."""
    _, alive = psutil.wait_procs(family, timeout=seconds_max)
    assert not alive, [process.cmdline() for process in alive]
