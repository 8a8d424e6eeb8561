"""One of our programs in a process of its own, which need not import the programs' libraries.

Importing takes most of the processor time of a service that a test soon stops or kills, so the
process is a fork of one that has imported them. Tests of the command line run `python -m` instead.
"""

import atexit
import multiprocessing.connection
import multiprocessing.util
import os
import runpy
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

# None of ours: a program registers its metrics while it is imported.
LIBRARIES = [
    *("asyncpg", "httpx", "hypercorn.asyncio", "opentelemetry.sdk.trace", "prometheus_client"),
    *("pydantic_settings", "quart", "sqlalchemy.dialects.postgresql.asyncpg"),
    *("sqlalchemy.ext.asyncio", "testkit.forked_program"),
]
forking = multiprocessing.get_context("forkserver")
forking.set_forkserver_preload(LIBRARIES)
# An exit status is one message, which two threads must not read at once.
_status_lock = threading.Lock()


@atexit.register
def _kill_running() -> None:
    """Kill what still runs. multiprocessing, imported before, would wait for a stopped process."""
    for process in multiprocessing.active_children():
        process.kill()


class ForkedProgram:
    """A program as `python -m module argument ...` runs it; its output is appended to the log."""

    def __init__(
        self, module: str, arguments: Sequence[str], log: Path, environ: Mapping[str, str]
    ) -> None:
        given = (module, arguments, log, {**os.environ, **environ})
        self._process = forking.Process(target=_run, args=given, daemon=True)
        with _status_lock:  # A start reads the status of every process.
            self._process.start()

    @property
    def pid(self) -> int:
        """Return the process's id."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit status, the negative number of the signal that ended it, or None."""
        with _status_lock:
            return self._process.exitcode

    def wait(self, seconds_max: float | None = None) -> int:
        """Return the same once it has ended. Raises TimeoutError."""
        multiprocessing.connection.wait([self._process.sentinel], seconds_max)
        status = self.poll()
        if status is None:
            raise TimeoutError(f"process {self.pid} has not ended after {seconds_max} s")
        return status

    def send(self, signum: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        with suppress(ProcessLookupError):
            if self.poll() is None:
                os.kill(self.pid, signum)

    def kill(self) -> None:
        """End it without warning, as a power cut would; return when it has ended."""
        self.send(signal.SIGKILL)
        self.wait()


def _run(module: str, arguments: Sequence[str], log: Path, environ: Mapping[str, str]) -> None:
    """Become the program, in a new process."""
    os.environ.clear()
    os.environ.update(environ)
    sys.path[:0] = filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))
    with log.open("ab") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:  # multiprocessing ends a process without them.
        atexit._run_exitfuncs()
