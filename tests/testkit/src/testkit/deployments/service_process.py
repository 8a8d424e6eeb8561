"""A service as a process of this checkout."""

import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from testkit.forked_program import ForkedProgram
from testkit.network.readiness import is_ready

READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 40.0
LOG_CHARS_SHOWN = 2_000


@dataclass
class ServiceProcess:
    """One service; each start uses the same port and appends to the same log."""

    module: str
    verb: str
    log: Path
    port: int
    environ: Mapping[str, str]
    process: ForkedProgram | None = None

    @property
    def name(self) -> str:
        """Return the name of its log."""
        return self.log.stem

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start it, and return it once it is ready."""
        environ = {f"{self.module.upper()}_PORT": str(self.port), **self.environ}
        self.process = ForkedProgram(self.module, [self.verb], self.log, environ)
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not is_ready(self.port):
            assert self.process.poll() is None, f"{self.name} ended: {self._log_end()}"
            assert time.monotonic() < deadline, f"{self.name} is not ready: {self._log_end()}"
            time.sleep(0.05)
        return self

    def stop(self) -> float:
        """Send SIGTERM, and return the seconds until it ended, which must be with status 0."""
        if self.process is None:
            return 0.0
        began, process, self.process = time.monotonic(), self.process, None
        process.send(signal.SIGTERM)
        try:
            status = process.wait(STOP_SECONDS_MAX)
        except TimeoutError:
            process.kill()
            status = process.wait()
        assert status == 0, f"{self.name} ended with status {status}: {self._log_end()}"
        return time.monotonic() - began

    def kill(self) -> None:
        """Send SIGKILL, if it runs, and wait for its end."""
        if self.process is not None:
            self.process.kill()
            self.process = None

    def _log_end(self) -> str:
        return self.log.read_text(errors="replace")[-LOG_CHARS_SHOWN:]
