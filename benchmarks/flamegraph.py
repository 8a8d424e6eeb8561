"""Record flame graphs at full load with py-spy: docs/images/flamegraph-*.svg."""

import asyncio
import re
import subprocess
import time
from pathlib import Path

from benchmarks.databases import audit, durable_postgres, fill, fresh_database
from benchmarks.load import CREATE, requests_per_second
from benchmarks.processes import PEERS_PYTHON, ROOT, api_process, running_worker

SECONDS = 12
PAYMENTS = 300_000  # More than a worker settles during the recording.


def main() -> None:
    """Record the API under POST /payments, then a worker on a backlog."""
    with durable_postgres() as server:
        url = fresh_database(server.url, "bench")
        with api_process(url) as (address, api):
            recording = _record(api.pid, "payments-api")
            requests_per_second([f"{address}/payments"], SECONDS + 2, script=CREATE)
            _finish(recording, "payments-api")
        audit(url)
        asyncio.run(fill(url, PAYMENTS, 1_000))
        with running_worker(url) as worker:
            _finish(_record(worker.pid, "recon-worker"), "recon-worker")


def _record(pid: int, name: str) -> "subprocess.Popen[bytes]":
    command = [str(PEERS_PYTHON.with_name("py-spy")), "record", "--format", "flamegraph"]
    command += ["--rate", "250", "--duration", str(SECONDS), "--pid", str(pid)]
    time.sleep(1.0)
    return subprocess.Popen([*command, "--output", str(_picture(name))])


def _finish(recording: "subprocess.Popen[bytes]", name: str) -> None:
    """Wait for the recording, and remove this machine's paths from it."""
    if recording.wait(SECONDS + 60):
        raise RuntimeError("py-spy failed: it needs root, or ptrace_scope 0")
    picture = _picture(name).read_text().replace(f"{ROOT}/", "")
    _picture(name).write_text(re.sub(r"/[^ ()<>\"]*/(site-packages|python3\.\d+)/", "", picture))


def _picture(name: str) -> Path:
    return ROOT / "docs/images" / f"flamegraph-{name}.svg"


if __name__ == "__main__":
    main()
