"""A service whose background task fails reports it and ends, for each task, in a real process."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping

import httpx
import pytest

from payments_local.ports import free_port

SECONDS_MAX = 40.0
BUG = "a bug in the task"
# Runs a service in which one coroutine function fails half a second after its start.
PROGRAM = f"""
import asyncio, importlib, sys

target, service = sys.argv.pop(1), sys.argv.pop(1)
module, path, work_name = (target + ":").split(":")[:3]
owner = importlib.import_module(module)
*parents, name = path.split(".")
for parent in parents:
    owner = getattr(owner, parent)
original = getattr(owner, name)

async def fail():
    await asyncio.sleep(0.5)
    raise RuntimeError({BUG!r})

def patched(*arguments):
    names = [getattr(each, "__name__", None) for each in arguments]
    if work_name and work_name not in names:
        return original(*arguments)
    hangs = name == "_lane" and 1 in arguments  # The second lane.
    return asyncio.sleep(60) if hangs else fail()

setattr(owner, name, patched)
importlib.import_module(service + ".__main__").main()
"""

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


async def _run_to_its_end(
    service: str, command: str, target: str, port: int, environ: Mapping[str, str]
) -> tuple[int | None, set[int], list[dict[str, object]], str]:
    """Return the exit status, the answers of /readyz, the log's entries, and standard error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, target, service, command),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LOG_FORMAT": "json", **environ},
    )
    answers: set[int] = set()

    async def probe() -> None:
        async with httpx.AsyncClient() as http:
            while True:
                try:
                    url = f"http://127.0.0.1:{port}/readyz"
                    answers.add((await http.get(url)).status_code)
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)

    probing = asyncio.create_task(probe())
    try:
        out, err = await asyncio.wait_for(process.communicate(), SECONDS_MAX)
    finally:
        probing.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()
    entries = [json.loads(line) for line in out.decode().splitlines() if line.startswith("{")]
    return process.returncode, answers, entries, err.decode()


def _reports_ended_task(entries: list[dict[str, object]], name: str) -> bool:
    ended = [entry for entry in entries if entry["event"] == "background_task_ended"]
    return any(entry["task"] == name and BUG in json.dumps(entry) for entry in ended)


@pytest.mark.parametrize("name", API)
async def test_the_api_ends_with_its_background_task(api_url_of_database: str, name: str) -> None:
    port = free_port()
    environ = {
        "DATABASE_URL": api_url_of_database,
        "PAYMENTS_API_PORT": str(port),
        "PAYMENTS_API_SHUTDOWN_DELAY_SECONDS": "1",
    }
    status, answers, entries, err = await _run_to_its_end(
        "payments_api", "serve", API[name], port, environ
    )
    assert _reports_ended_task(entries, name), (entries, err)
    assert status == 1
    assert 503 in answers
    assert err == f"the background task {name} ended: see the log\n"


@pytest.mark.parametrize("name", WORKER)
async def test_the_worker_ends_with_its_background_task(
    worker_url_of_database: str, name: str
) -> None:
    port = free_port()
    environ = {
        "DATABASE_URL": worker_url_of_database,
        "RECON_WORKER_PORT": str(port),
        "RECON_WORKER_CONCURRENCY": "2",
        "RECON_WORKER_DRAIN_SECONDS": "1",
    }
    status, answers, entries, err = await _run_to_its_end(
        "recon_worker", "run", WORKER[name], port, environ
    )
    assert _reports_ended_task(entries, name), (entries, err)
    assert status == 1
    assert err == f"the background task {name} ended: see the log\n"
    assert 503 in answers or name != "lane-0", "the other lane drains first"


@pytest.mark.parametrize("part", PAGE)
async def test_the_page_ends_with_its_background_task(part: str) -> None:
    port = free_port()
    environ = {"PAYMENTS_UI_PORT": str(port), "PAYMENTS_UI_SHUTDOWN_DELAY_SECONDS": "1"}
    status, answers, entries, err = await _run_to_its_end(
        "payments_ui", "serve", f"payments_ui.live.feed:LiveFeed.{part}", port, environ
    )
    assert _reports_ended_task(entries, "live-feed"), (entries, err)
    assert status == 1
    assert 503 in answers
    assert err == "the background task live-feed ended: see the log\n"
