"""Times to recover: after a worker is killed, and after Postgres restarts."""

import asyncio
import random
import signal
import time
from contextlib import AsyncExitStack, suppress
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import httpx

from testkit.chaos.system.database import Database, running_database
from testkit.chaos.system.services import Service, python_service
from testkit.database.backlog import Stored, add_payments
from testkit.database.head_rows import held_head_row, until_a_transaction_waits
from testkit.database.sql import Sql
from testkit.waiting import until

TRIALS = 5
HELD_JOBS = 40
SHORT_LEASES = {
    "RECON_WORKER_LEASE_SECONDS": "1",
    "RECON_WORKER_RESCUE_INTERVAL_SECONDS": "0.2",
}
OUTAGE_SECONDS = (0.5, 2.0, 5.0, 8.0, 12.0)
# The promised times; a longer measurement fails.
SECONDS_MAX = {
    "worker_killed_default_leases": 15.0,
    "worker_killed_short_leases": 3.0,
    "postgres_restarted": 5.0,
}
TAKEN_OVER = "SELECT count(*) = 0 FROM recon_jobs WHERE id > $1 AND attempts < 2"


async def measure(folder: Path) -> dict[str, Any]:
    """Return the seconds of each trial by fault; durable Postgres, default settings otherwise."""
    async with running_database(durable=True, small_disk=False) as database:
        measured = {
            "worker_killed_default_leases": await _workers_killed(database, folder, {}),
            "worker_killed_short_leases": await _workers_killed(database, folder, SHORT_LEASES),
            "postgres_restarted": await _postgres_restarted(database, folder),
        }
    return {
        name: {
            "seconds": [round(took, 2) for took in seconds],
            "median": round(median(seconds), 2),
            "worst": round(max(seconds), 2),
            "promised": SECONDS_MAX[name],
        }
        for name, seconds in measured.items()
    }


def broken(figures: dict[str, Any]) -> list[str]:
    """Return the promises that the figures break."""
    return [
        f"{name}: {figure['worst']} s, promised are {figure['promised']} s"
        for name, figure in figures.items()
        if figure["worst"] > figure["promised"]
    ]


def _worker(name: str, folder: Path, database: Database, **environ: str) -> Service:
    url = database.server.url.replace("postgres@", "payments_worker@")
    return python_service(name, "recon_worker", "run", folder, {"DATABASE_URL": url, **environ})


async def _workers_killed(database: Database, folder: Path, environ: dict[str, str]) -> list[float]:
    """Measure from SIGKILL of a posting worker until another has claimed its last job."""
    chance = random.Random(1)
    async with AsyncExitStack() as stack:
        sql = await stack.enter_async_context(database.connection())
        holding = await stack.enter_async_context(database.connection())
        successor = _worker("successor", folder, database, **environ)
        stack.callback(successor.kill)
        successor.start()
        await successor.until_ready()
        taken = []
        for _ in range(TRIALS):
            victim = _worker("victim", folder, database, **environ)
            stack.callback(victim.kill)
            successor.send(signal.SIGSTOP)  # It must get no job before the victim does.
            victim.start()
            await victim.until_ready()
            account = Stored(uuid4(), f"acc_{uuid4()}", Decimal(1), "USD")
            async with held_head_row(holding, account):
                last_id = await sql.fetchval("SELECT coalesce(max(id), 0) FROM recon_jobs")
                await add_payments(sql, [(account.account_id, "1.00", "USD")] * HELD_JOBS)
                await until_a_transaction_waits(sql)
                # At a random moment between two renewals.
                await asyncio.sleep(chance.uniform(0, 3))
                successor.send(signal.SIGCONT)
                victim.kill()
                killed = time.monotonic()
            await _until_true(sql, TAKEN_OVER, last_id)
            taken.append(time.monotonic() - killed)
        return taken


async def _postgres_restarted(database: Database, folder: Path) -> list[float]:
    """Measure from Postgres' first answer until a payment made after it is settled."""
    async with AsyncExitStack() as stack:
        url = database.server.url.replace("postgres@", "payments_api@")
        api = python_service("api", "payments_api", "serve", folder, {"DATABASE_URL": url})
        worker = _worker("worker", folder, database)
        for service in (api, worker):
            stack.callback(service.kill)
            service.start()
        await asyncio.gather(api.until_ready(), worker.until_ready())
        authorization = {"Authorization": f"Bearer {await database.new_api_key()}"}
        address = f"http://127.0.0.1:{api.port}"
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=address, timeout=5, headers=authorization)
        )
        await _settle_one(client)
        taken = []
        for outage_seconds in OUTAGE_SECONDS:
            await database.crash()
            # Requests continue meanwhile, so that pools meet dead connections.
            asking = asyncio.create_task(_settle_one(client))
            await asyncio.sleep(outage_seconds)
            await database.start()
            back = time.monotonic()
            await _settle_one(client)
            taken.append(time.monotonic() - back)
            await asking
        for service in (api, worker):
            service.assert_running()  # The same processes, without a restart.
        return taken


async def _settle_one(client: httpx.AsyncClient) -> None:
    """Pay, with one key until it is accepted, and return when the payment is settled."""
    order = {"accountId": "acc_1", "amount": "1.00"}
    headers = {"Idempotency-Key": str(uuid4())}
    payment_id = ""

    async def accepted() -> bool:
        nonlocal payment_id
        with suppress(httpx.TransportError):
            answer = await client.post("/payments", json=order, headers=headers)
            if answer.status_code == 201:
                payment_id = answer.json()["id"]
                return True
        return False

    async def settled() -> bool:
        with suppress(httpx.TransportError):
            answer = await client.get(f"/payments/{payment_id}")
            return answer.status_code == 200 and answer.json()["status"] == "completed"
        return False

    await until(accepted, 60)
    await until(settled, 60)


async def _until_true(sql: Sql, query: str, last_id: int) -> None:
    async def true() -> bool:
        return bool(await sql.fetchval(query, last_id))

    await until(true, 60)
