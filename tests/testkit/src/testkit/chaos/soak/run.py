"""A soak: a steady load near capacity, with the auditor on, and a check of what grows."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from payments_local.postgres import SETTINGS as POSTGRES_SETTINGS
from recon_worker.worker.loop import prune_interval_seconds
from testkit.chaos.load.readers import watch_the_page
from testkit.chaos.load.steady import SteadyLoad
from testkit.chaos.soak.samples import PREPARE_BLOAT, Sampler
from testkit.chaos.soak.trends import trends
from testkit.chaos.system.database import Database, running_database
from testkit.chaos.system.services import Service, python_service
from testkit.database.sql import Sql
from testkit.waiting import until

CAPACITY_SHARE = 0.8
CAPACITY_SECONDS = 60.0  # Includes vacuum, auditor and a whole round of the pages.
SAMPLE_SECONDS = 5.0
HELD_SHARE_MIN = 0.95  # Of the rate: a smaller load proves nothing.
DRAINED_SECONDS_MAX = 300.0
# Finished jobs are pruned after two minutes, so that the run includes pruning, and the auditor
# runs every ten seconds.
RETENTION_SECONDS = 120.0
AUTOVACUUM_NAP_SECONDS = float(POSTGRES_SETTINGS["autovacuum_naptime"].removesuffix("s"))
# The jobs' table can only grow until the first jobs have been kept that long, pruned, vacuumed and
# their space reused; an emptied page of an index is free after the second vacuum.
WARM_UP_SECONDS_MIN = (
    RETENTION_SECONDS + prune_interval_seconds(RETENTION_SECONDS) + 2 * AUTOVACUUM_NAP_SECONDS
)
WORKER_ENVIRON = {
    "RECON_WORKER_RETENTION_DAYS": str(RETENTION_SECONDS / 86_400),
    "RECON_WORKER_AUDIT_INTERVAL_SECONDS": "10",
}
BACKLOG = "SELECT NOT EXISTS (SELECT FROM recon_jobs WHERE status IN ('pending', 'processing'))"
COUNTS = """
SELECT (SELECT count(*) FROM payments) AS payments,
       (SELECT count(*) FROM payments WHERE status = 'completed') AS completed,
       (SELECT count(*) FROM ledger_entries) AS entries"""


async def soak(
    minutes: float, asked_rate: float | None, folder: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Return the samples, their trends, and the failures in words."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(running_database(durable=True, small_disk=False))
        api_key = await database.new_api_key()
        services = await _start_services(database, folder, api_key, stack)
        sql = await stack.enter_async_context(database.connection())
        await sql.execute(PREPARE_BLOAT)
        api, _, page = services
        reading = asyncio.create_task(watch_the_page(page.port))
        stack.callback(reading.cancel)
        trial = SteadyLoad(api.port, api_key, "trial")
        capacity = await _measure_capacity(trial, sql)
        rate = asked_rate or capacity * CAPACITY_SHARE
        say(f"capacity {capacity:.0f} payments/s, accepted and settled; soaking at {rate:.0f}/s")
        load = SteadyLoad(api.port, api_key, "soak")
        pids = {service.name: service.child.pid for service in services if service.child}
        postmaster = int((database.server.pgdata / "postmaster.pid").read_text().split()[0])
        sampler = Sampler(sql, load, pids, postmaster, trial.accepted)
        sampling = asyncio.create_task(_sample(sampler, say))
        stack.callback(sampling.cancel)
        await load.run(rate, minutes * 60)
        await _cancel(sampling, reading)
        await _drain(sql)
        counts = await sql.fetchrow(COUNTS)
        assert counts is not None
        wrong = _wrong(dict(counts), trial.accepted + load.accepted, load)
        found = trends(sampler.taken, WARM_UP_SECONDS_MIN)
        wrong += _not_held(load.accepted, rate * minutes * 60)
        wrong += [f"{name} is not flat" for name, line in found.items() if not line["flat"]]
        for service in reversed(services):
            service.assert_running()
            await service.stop()
        wrong += await _audited(database)
    return {
        "minutes": minutes,
        "capacity_per_second": round(capacity, 1),
        "rate_per_second": round(rate, 1),
        "payments": counts["payments"],
        "answers": {str(status): n for status, n in sorted(load.statuses.items())},
        "wrong": wrong,
        "warm_up_seconds": WARM_UP_SECONDS_MIN,
        "trends": found,
        "samples": [_rounded(sample) for sample in sampler.taken],
    }


async def _start_services(
    database: Database, folder: Path, api_key: str, stack: AsyncExitStack
) -> list[Service]:
    """Start one of each service and return once all are ready; the stack kills them."""
    services = _services(database, folder, api_key)
    for service in services:
        stack.callback(service.kill)
        service.start(LOG_LEVEL="WARNING")
    await asyncio.gather(*(service.until_ready() for service in services))
    return services


async def _measure_capacity(trial: SteadyLoad, sql: Sql) -> float:
    """Send as many payments as the API accepts; return the number per second that settle."""
    begun = time.monotonic()
    await trial.run(None, CAPACITY_SECONDS)
    await _drain(sql)
    return trial.accepted / (time.monotonic() - begun)


async def _drain(sql: Sql) -> None:
    """Wait until the queue is empty. Raises TimeoutError."""

    async def drained() -> bool:
        return bool(await sql.fetchval(BACKLOG))

    await until(drained, DRAINED_SECONDS_MAX)


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _rounded(sample: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in sample.items()}


def _services(database: Database, folder: Path, api_key: str) -> list[Service]:
    """Return one of each service, on default settings except for the worker's upkeep."""
    url = database.server.url
    api = python_service(
        "payments-api",
        "payments_api",
        "serve",
        folder,
        {"DATABASE_URL": url.replace("postgres@", "payments_api@")},
    )
    worker = python_service(
        "recon-worker",
        "recon_worker",
        "run",
        folder,
        {"DATABASE_URL": url.replace("postgres@", "payments_worker@"), **WORKER_ENVIRON},
    )
    page = python_service(
        "payments-ui",
        "payments_ui",
        "serve",
        folder,
        {"PAYMENTS_UI_API_URL": f"http://127.0.0.1:{api.port}", "PAYMENTS_UI_API_KEY": api_key},
    )
    return [api, worker, page]


async def _sample(sampler: Sampler, say: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(SAMPLE_SECONDS)
        await sampler.take()
        last = sampler.taken[-1]
        say(
            f"  {last['seconds']:6.0f} s  {last['accepted_per_second']:6.0f}/s"
            f"  queue {last['queue_depth']:5.0f}"
            f"  answered p99 {last.get('answered_milliseconds p99', 0):6.1f} ms"
            f"  api {last['memory_megabytes payments-api']:5.1f} MB"
        )


def _wrong(counts: dict[str, int], accepted: int, load: SteadyLoad) -> list[str]:
    """Check that accepted payments are stored and settled, and that no other payment exists."""
    wrong = []
    # A payment whose answer was lost with its connection may exist too.
    if not accepted <= counts["payments"] <= accepted + load.broken:
        wrong.append(f"{accepted} accepted, {load.broken} unknown, {counts['payments']} stored")
    if counts["completed"] != counts["payments"] or counts["entries"] != 2 * counts["payments"]:
        wrong.append(f"not all are settled: {counts}")
    unexpected = {status: n for status, n in load.statuses.items() if status not in (201, 503)}
    if unexpected:
        wrong.append(f"clients received {unexpected}")
    return wrong


def _not_held(accepted: int, due: float) -> list[str]:
    if accepted >= HELD_SHARE_MIN * due:
        return []
    return [
        f"only {accepted} of the {due:.0f} payments due were accepted: the machine was slower than"
        " when its capacity was measured, so the series do not show a steady load"
    ]


async def _audited(database: Database) -> list[str]:
    audit = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "recon_worker", "audit", "--full"),
        env={**os.environ, "DATABASE_URL": database.server.url},
        stdout=asyncio.subprocess.PIPE,
    )
    table, _ = await audit.communicate()
    return [] if audit.returncode == 0 else [f"the audit failed: {table.decode()}"]
