"""Child processes: each has its own session, is read line by line, and stops within bounds."""

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

EXEC_CHILD = Path(__file__).with_name("exec_child.py")
LINE_BYTES_MAX = 64 * 1024  # Bounds memory if a child never ends its line.
LAST_LINES_KEPT = 20
FORCE_SECONDS_MAX = 6.0  # After SIGQUIT, PostgreSQL gives its own processes five seconds.
OUTPUT_SECONDS_MAX = 2.0  # After the end, to read the rest of the pipe.


@dataclass(frozen=True)
class RunAs:
    """The user that a child runs as instead of root; see run_as.py."""

    uid: int
    gid: int
    enter_any_folder: bool


@dataclass(frozen=True)
class ChildSpec:
    """A command to run, and how to stop it.

    If stop_signal is not enough, force_signal follows, then SIGKILL. The kernel sends death_signal
    if this process itself is killed with SIGKILL.
    """

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    cwd: Path
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds_max: float = 10.0
    force_signal: signal.Signals = signal.SIGKILL
    death_signal: signal.Signals = signal.SIGKILL
    run_as: RunAs | None = None


class Child:
    """A started child. Its reader thread calls `on_line` and `on_exit`.

    Start it from a thread that lives as long as the child should: Linux sends the death signal when
    the starting *thread* ends.
    """

    def __init__(
        self,
        spec: ChildSpec,
        on_line: Callable[[str, str], None] = lambda name, line: None,
        on_exit: Callable[["Child"], None] = lambda child: None,
    ) -> None:
        self.spec = spec
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES_KEPT)
        self._on_line = on_line
        self._on_exit = on_exit
        # In its own session: Ctrl-C reaches only the supervisor, which stops all children in order.
        self._process = subprocess.Popen(  # noqa: S603 - our own commands.
            wrapped(spec),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(spec.environ),
            cwd=spec.cwd,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"read-{spec.name}", daemon=True)
        self._reader.start()

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """Return None while it runs; a negative status is the signal that ended it."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        if self.exit_status is None:
            self._process.send_signal(self.spec.stop_signal)

    def force(self) -> None:
        """Kill it and the stragglers of its session; return when they are gone."""
        if self.exit_status is None:
            self._process.send_signal(self.spec.force_signal)
            self.wait(FORCE_SECONDS_MAX)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(OUTPUT_SECONDS_MAX)

    def wait(self, seconds_max: float) -> bool:
        """Wait for the end; return whether it came within the time."""
        try:
            self._process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> bool:
        """Stop it within the time of its spec, else force it. Return False if forced."""
        self.ask_to_stop()
        obeyed = self.wait(self.spec.stop_seconds_max)
        self.force()
        return obeyed

    def how_it_ended(self) -> str:
        """Return a phrase for people: 'exited with status 3', 'was ended by SIGKILL'."""
        status = self.exit_status
        if status is None:
            return "is still running"
        if status < 0:
            return f"was ended by {signal.Signals(-status).name}"
        return f"exited with status {status}"

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            while line := stream.readline(LINE_BYTES_MAX):
                text = line.decode(errors="replace").rstrip("\r\n")
                self.last_lines.append(text)
                self._on_line(self.name, text)
        self._process.wait()
        self._on_exit(self)


def wrapped(spec: ChildSpec) -> list[str]:
    """Return the command line behind exec_child.py, which run_as and death_signal need."""
    user = []
    if spec.run_as is not None:
        user = [f"--uid={spec.run_as.uid}", f"--gid={spec.run_as.gid}"]
        user += ["--enter-any-folder"] if spec.run_as.enter_any_folder else []
    return [
        *(sys.executable, "-I", "-S", str(EXEC_CHILD)),
        f"--parent={os.getpid()}",
        f"--death-signal={int(spec.death_signal)}",
        *user,
        "--",
        *spec.command,
    ]
