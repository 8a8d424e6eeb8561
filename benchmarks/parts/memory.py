"""Peak memory of each service at full load: creating, settling, and an open page."""

import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.contest import Figures
from benchmarks.databases import durable_postgres, fresh_database
from benchmarks.effort import Effort
from benchmarks.load import BATCH, CREATE, requests_per_second
from benchmarks.processes import Absent, PeakMemory, api_process, process, running_worker
from payments_local.ports import free_port


def measure(effort: Effort) -> Figures:
    """Return megabytes of resident memory: single payments and the page, then batches too."""
    with durable_postgres() as server, ExitStack() as stack:
        url = fresh_database(server.url, "bench")
        address, api = stack.enter_context(api_process(url))
        worker = stack.enter_context(running_worker(url, RECON_WORKER_AUDIT_INTERVAL_SECONDS="60"))
        port = free_port()
        page = f"http://127.0.0.1:{port}"
        ui = stack.enter_context(
            process(
                [sys.executable, "-m", "payments_ui", "serve"],
                ready=f"{page}/readyz",
                PAYMENTS_UI_PORT=str(port),
                PAYMENTS_UI_API_URL=address,
            )
        )
        pids = {"payments-api": api.pid, "recon-worker": worker.pid, "payments-ui": ui.pid}
        try:
            with PeakMemory(**pids) as single:
                _side_by_side(
                    lambda: requests_per_second(
                        [f"{address}/payments"], 2 * effort.seconds, script=CREATE
                    ),
                    lambda: requests_per_second([f"{page}/"], 2 * effort.seconds, connections=4),
                )
            with PeakMemory(**pids) as batches:
                requests_per_second(
                    [f"{address}/payments/batch"], effort.seconds, connections=2, script=BATCH
                )
        except Absent as error:
            return {"skipped": str(error)}
    return {
        "megabytes": single.megabytes,
        "megabytes_with_batches": batches.megabytes,
    }


def _side_by_side(first: Callable[[], object], second: Callable[[], object]) -> None:
    beside = threading.Thread(target=second)
    beside.start()
    try:
        first()
    finally:
        beside.join()
