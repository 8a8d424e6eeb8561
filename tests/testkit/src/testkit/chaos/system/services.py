"""Services as processes that faults start, kill and freeze; an unexpected end fails the run."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from payments_local.children import Child, ChildSpec, RunAs
from payments_local.ports import free_port
from testkit.network.readiness import is_ready
from testkit.waiting import until

READY_SECONDS_MAX = 90.0
STOP_SECONDS_MAX = 40.0
SHOWN_CHARS = 3_000


@dataclass(eq=False)
class Service:
    """One process, restarted with the same address and settings. Its output goes to `log`.

    `busy` is locked by a fault that affects this service.
    """

    name: str
    command: list[str]
    environ: Mapping[str, str]
    log: Path
    port: int = field(default_factory=free_port)
    run_as: RunAs | None = None
    child: Child | None = None
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    def start(self, **more: str) -> None:
        """Start it, with additional environment variables, without waiting."""
        assert self.child is None, f"{self.name} runs already"
        spec = ChildSpec(
            name=self.name,
            command=self.command,
            environ={**os.environ, **self.environ, **more},
            cwd=Path("/"),
            run_as=self.run_as,
        )
        log = self.log.open("a", buffering=1)
        self.child = Child(
            spec, lambda _, line: print(line, file=log), on_exit=lambda _: log.close()
        )

    async def until_ready(self) -> None:
        """Return when /readyz answers 200. Raises AssertionError if the process ends first."""

        async def ready() -> bool:
            self.assert_running()
            return await asyncio.to_thread(is_ready, self.port)

        await until(ready, READY_SECONDS_MAX)

    def kill(self) -> None:
        """Kill it, as a power cut would; harmless if it does not run."""
        child, self.child = self.child, None
        if child is not None:
            child.force()

    async def until_killed(self, seconds: float) -> bool:
        """Return whether SIGKILL ended it within the time; it is then in the state after `kill`."""
        assert self.child is not None
        ended = await asyncio.to_thread(self.child.wait, seconds)
        if ended:
            assert self.child.exit_status == -signal.SIGKILL, self.last_words()
            self.kill()
        return ended

    async def until_frozen(self, seconds: float) -> bool:
        """Return whether it stopped itself by SIGSTOP within the time."""
        assert self.child is not None
        process = psutil.Process(self.child.pid)

        async def frozen() -> bool:
            return process.status() == psutil.STATUS_STOPPED

        try:
            await until(frozen, seconds)
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Send SIGTERM. It must drain and exit with status 0."""
        child, self.child = self.child, None
        if child is not None:
            child.ask_to_stop()
            in_time = await asyncio.to_thread(child.wait, STOP_SECONDS_MAX)
            status = child.exit_status
            child.force()
            assert in_time, f"{self.name} did not stop within {STOP_SECONDS_MAX:.0f} s"
            assert status == 0, f"{self.name} ended with status {status}: {self.last_words()}"

    def send(self, signum: signal.Signals) -> None:
        """Send it a signal, such as SIGSTOP."""
        assert self.child is not None
        os.kill(self.child.pid, signum)

    def assert_running(self) -> None:
        """Raise AssertionError, with its last output, if it ended without being killed."""
        assert self.child is not None, f"{self.name} was never started again"
        status = self.child.exit_status
        assert status is None, f"{self.name} {self.child.how_it_ended()}: {self.last_words()}"

    def last_words(self) -> str:
        """Return the last lines of its log."""
        return self.log.read_text(errors="replace")[-SHOWN_CHARS:] if self.log.exists() else ""


def python_service(
    name: str, module: str, verb: str, folder: Path, environ: Mapping[str, str]
) -> Service:
    """Return `python -m module verb`, with its port in its own settings' variable."""
    port = free_port()
    variable = f"{module.upper()}_PORT"
    return Service(
        name=name,
        command=[sys.executable, "-m", module, verb],
        environ={"LOG_FORMAT": "json", variable: str(port), **environ},
        log=folder / f"{name}.log",
        port=port,
    )
