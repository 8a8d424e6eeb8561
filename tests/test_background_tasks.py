"""A service whose background task fails reports it and ends, for each task, in a real process."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import httpx
import pytest

from payments_local.ports import free_port
from testkit.failing_task import BUG
from testkit.forked_program import ForkedProgram

SECONDS_MAX = 40.0

API = {
    "insert-worker-0": "payments_api.payments.writer:PaymentWriter.run",
    "notifier": "payments_core.queue.notify:Notifier.run",
    "event-feed": "payments_api.events.feed:EventFeed._listen",
    "key-refresh": "payments_api.auth.key_cache:KeyRing._refresh",
    "system-metrics": "payments_api.app:observe_system",
}
WORKER = {
    "worker": "recon_worker.worker.loop:Worker._until_stopped",
    "lane-0": "recon_worker.worker.loop:Worker._lane",
    "notifier": "payments_core.queue.notify:Notifier.run",
    "lease-renewal": "recon_worker.worker.loop:Worker._renew",
    "rescue": "recon_worker.worker.loop:every:_rescue",
    "pruning": "recon_worker.worker.loop:every:_prune",
    "heartbeat": "recon_worker.worker.loop:every:_report_heartbeat",
    "listener": "recon_worker.worker.wakeups:listen",
    "auditor": "recon_worker.app:watch",
    "sealer": "recon_worker.sealing.background:Sealer.run",
    "webhook-fan-out": "recon_worker.app:fan_out_events",
    "webhook-upkeep": "recon_worker.app:keep_up",
    "webhook-sender": "recon_worker.webhooks.sender:Sender.run",
}
PAGE = ["_read_upstream", "_flush_changes", "_disconnect_stalled"]  # Parts of live-feed.


Ended: TypeAlias = tuple[int, set[int], list[dict[str, object]], str]
RunToItsEnd: TypeAlias = Callable[[str, str, str, Mapping[str, str]], Awaitable[Ended]]


@pytest.fixture
def run_to_its_end(tmp_path: Path) -> RunToItsEnd:
    """Runs the service's command, in which the target fails.

    Returns the exit status, the answers of /readyz, the log's entries, and the log's other lines.
    """

    async def run(service: str, command: str, target: str, environ: Mapping[str, str]) -> Ended:
        port, log = free_port(), tmp_path / "log"
        environ = {"LOG_FORMAT": "json", f"{service.upper()}_PORT": str(port), **environ}
        process = ForkedProgram("testkit.failing_task", (target, service, command), log, environ)
        answers: set[int] = set()
        probing = asyncio.create_task(_probe(port, answers))
        try:
            status = await asyncio.to_thread(process.wait, SECONDS_MAX)
        finally:
            probing.cancel()
            process.kill()
        lines = log.read_text().splitlines(keepends=True)
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        others = [line for line in lines if not line.startswith("{")]
        return status, answers, entries, "".join(others)

    return run


async def _probe(port: int, answers: set[int]) -> None:
    async with httpx.AsyncClient() as http:
        while True:
            with suppress(httpx.TransportError):
                answers.add((await http.get(f"http://127.0.0.1:{port}/readyz")).status_code)
            await asyncio.sleep(0.05)


def _reports_ended_task(entries: list[dict[str, object]], name: str) -> bool:
    ended = [entry for entry in entries if entry["event"] == "background_task_ended"]
    return any(entry["task"] == name and BUG in json.dumps(entry) for entry in ended)


@pytest.mark.parametrize("name", API)
async def test_the_api_ends_with_its_background_task(
    run_to_its_end: RunToItsEnd, api_url_of_database: str, name: str
) -> None:
    environ = {
        "DATABASE_URL": api_url_of_database,
        "PAYMENTS_API_SHUTDOWN_DELAY_SECONDS": "1",
    }
    status, answers, entries, others = await run_to_its_end(
        "payments_api", "serve", API[name], environ
    )
    assert _reports_ended_task(entries, name), (entries, others)
    assert status == 1
    assert 503 in answers
    assert others == f"the background task {name} ended: see the log\n"


@pytest.mark.parametrize("name", WORKER)
async def test_the_worker_ends_with_its_background_task(
    run_to_its_end: RunToItsEnd, worker_url_of_database: str, name: str
) -> None:
    environ = {
        "DATABASE_URL": worker_url_of_database,
        "RECON_WORKER_CONCURRENCY": "2",
        "RECON_WORKER_DRAIN_SECONDS": "1",
    }
    status, answers, entries, others = await run_to_its_end(
        "recon_worker", "run", WORKER[name], environ
    )
    assert _reports_ended_task(entries, name), (entries, others)
    assert status == 1
    assert others == f"the background task {name} ended: see the log\n"
    assert 503 in answers or name != "lane-0", "the other lane drains first"


@pytest.mark.parametrize("part", PAGE)
async def test_the_page_ends_with_its_background_task(
    run_to_its_end: RunToItsEnd, part: str
) -> None:
    target = f"payments_ui.live.feed:LiveFeed.{part}"
    environ = {"PAYMENTS_UI_SHUTDOWN_DELAY_SECONDS": "1"}
    status, answers, entries, others = await run_to_its_end("payments_ui", "serve", target, environ)
    assert _reports_ended_task(entries, "live-feed"), (entries, others)
    assert status == 1
    assert 503 in answers
    assert others == "the background task live-feed ended: see the log\n"
