"""`recon-worker run` as a process that tests kill, pause and query."""

import asyncio
import re
import signal
import urllib.request
from pathlib import Path

from payments_local.ports import free_port
from testkit.forked_program import ForkedProgram
from testkit.waiting import until

# Short, so that a dead worker's jobs are soon free.
IMPATIENT = {
    "RECON_WORKER_LEASE_SECONDS": "1",
    "RECON_WORKER_RESCUE_INTERVAL_SECONDS": "0.2",
    "RECON_WORKER_POLL_SECONDS_MAX": "0.2",
    "RECON_WORKER_AUDIT_INTERVAL_SECONDS": "0",
    "RECON_WORKER_SEAL_INTERVAL_SECONDS": "0.2",
    "LOG_FORMAT": "json",
}


class WorkerProcess(ForkedProgram):
    """A worker; every test must `stop` or `kill` it."""

    def __init__(self, url: str, log: Path, **environ: str) -> None:
        self.port = free_port()
        self.log = log
        environ = {"DATABASE_URL": url, "RECON_WORKER_PORT": str(self.port), **environ}
        super().__init__("recon_worker", ["run"], log, {**IMPATIENT, **environ})

    async def until_ready(self) -> None:
        """Wait until it is ready."""

        async def ready() -> bool:
            assert self.poll() is None, self.log.read_text()[-2000:]
            return await self._get("/readyz") is not None

        await until(ready, 40)

    async def stop(self) -> None:
        """Let it drain. It must exit with status 0."""
        self.send(signal.SIGTERM)
        assert await asyncio.to_thread(self.wait, 30) == 0, self.log.read_text()[-2000:]

    async def finished(self, end: str) -> float:
        """Return the number of attempts with this end: completed, lease_lost, handed_back, ..."""
        text = await self._get("/metrics") or ""
        pattern = rf'^recon_jobs_finished_total{{end="{end}"}} (\S+)'
        found = re.search(pattern, text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    async def _get(self, path: str) -> str | None:
        def get() -> str | None:
            try:
                url = f"http://127.0.0.1:{self.port}{path}"
                with urllib.request.urlopen(url, timeout=2) as answer:
                    text: str = answer.read().decode()
                    return text
            except OSError:
                return None

        return await asyncio.to_thread(get)
