"""What the API does at twice what it can: how much still gets through, and how soon the rest knows.

The most it can do is found first, with as many connections as suit it. Then several hundred clients
offer twice that, each at its own pace whatever it is answered, and one more client looks on: it
asks twenty times a second, before, meanwhile and afterwards, and notes what it was told, and when.
"""

import asyncio
import json
import os
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import psutil

from benchmarks.contest import Figures
from benchmarks.databases import durable_postgres, fresh_database
from benchmarks.effort import Effort
from benchmarks.load import wrk_path
from benchmarks.processes import Absent, api_process

SUITS_CONNECTIONS = 32
CLIENTS = 600
LOOK_SECONDS = 0.05
HERE = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Look:
    """One answer that the onlooker got; `at` is when it asked."""

    at: float
    status: int
    seconds: float


def measure(effort: Effort) -> Figures:
    """Payments created per second at the best load and at twice that, and what was refused."""
    with durable_postgres() as server:
        url = fresh_database(server.url, "bench")
        try:
            return asyncio.run(_measure(url, wrk_path(), max(4, round(3 * effort.seconds))))
        except Absent as error:
            return {"skipped": str(error)}


async def _measure(url: str, wrk: str, seconds: int) -> Figures:
    with api_process(url, LOG_LEVEL="ERROR") as (api, running):
        watched = psutil.Process(running.pid)
        await _load(wrk, api, 2, SUITS_CONNECTIONS, 0)  # Warm.
        cpu_at_first = _cpu(watched)
        at_its_best = await _load(wrk, api, seconds, SUITS_CONNECTIONS, 0)
        best = _rate(at_its_best)
        cpu_at_its_best = _cpu(watched) - cpu_at_first
        before = watched.memory_info().rss
        delay = round(1000 * CLIENTS / (2 * best))
        looking = asyncio.create_task(_look(api, 2 * seconds))
        await asyncio.sleep(seconds / 4)
        began, cpu_began = time.monotonic(), _cpu(watched)
        overload = await _load(wrk, api, seconds, CLIENTS, delay)
        ended, cpu_ended = time.monotonic(), _cpu(watched)
        looks = await looking
        after = watched.memory_info().rss
    stored = await _stored(url)
    during = [look for look in looks if began + 1 < look.at < ended - 0.5]
    later = [look for look in looks if look.at > ended + 0.5]
    rate = _rate(overload)
    creation = cpu_at_its_best / at_its_best["created"]
    refusal = (cpu_ended - cpu_began - creation * overload["created"]) / max(1, overload["refused"])
    return {
        "best_connections": SUITS_CONNECTIONS,
        "best_created_per_second": round(best),
        "offered_per_second": round(CLIENTS * 1000 / delay),
        "answered_per_second": round(_answers(overload) / overload["seconds"]),
        "created_per_second": round(rate),
        "share_of_best": round(rate / best, 3),
        **{name: overload[name] for name in ("refused", "refused_with_retry_after", "other")},
        "socket_errors": overload["socket_errors"],
        "accepted_milliseconds": _milliseconds(during, 201),
        "refused_milliseconds": _milliseconds(during, 503),
        "cpu_microseconds_of_a_creation": round(creation * 1e6),
        "cpu_microseconds_of_a_refusal": round(refusal * 1e6),
        "memory_grew_megabytes": round((after - before) / 1e6, 1),
        "after_it": {"answers": len(later), "created": sum(x.status == 201 for x in later)},
        "payments_stored": stored,
    }


def _cpu(process: psutil.Process) -> float:
    """Seconds of the processor that it has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


async def _load(
    wrk: str, api: str, seconds: int, connections: int, delay_milliseconds: int
) -> dict[str, float]:
    environ = {
        **os.environ,
        "CREATE_LUA": str(HERE / "load_create.lua"),
        "DELAY_MILLISECONDS": str(delay_milliseconds),
    }
    script = HERE / "load_overload.lua"
    running = await asyncio.create_subprocess_exec(
        *(wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script)),
        f"{api}/payments",
        env=environ,
        stdout=subprocess.PIPE,
    )
    out, _ = await running.communicate()
    (counted,) = (line for line in out.decode().splitlines() if line.startswith("counted "))
    found: dict[str, float] = json.loads(counted.removeprefix("counted "))
    return found


def _rate(counted: dict[str, float]) -> float:
    return counted["created"] / counted["seconds"]


def _answers(counted: dict[str, float]) -> float:
    return counted["created"] + counted["refused"] + counted["other"]


async def _look(api: str, seconds: float) -> list[Look]:
    looks = []
    body = {"accountId": "onlooker", "amount": 1}
    async with httpx.AsyncClient(base_url=api, timeout=10) as http:
        until = time.monotonic() + seconds
        while (at := time.monotonic()) < until:
            key = {"Idempotency-Key": f"look-{uuid4()}"}
            answer = await http.post("/payments", json=body, headers=key)
            looks.append(Look(at, answer.status_code, time.monotonic() - at))
            await asyncio.sleep(LOOK_SECONDS)
    return looks


def _milliseconds(looks: Sequence[Look], status: int) -> dict[str, float]:
    taken = sorted(look.seconds * 1000 for look in looks if look.status == status)
    if len(taken) < 2:
        return {"answers": len(taken)}
    at = statistics.quantiles(taken, n=100)
    return {"answers": len(taken), "p50": round(at[49], 1), "p99": round(at[98], 1)}


async def _stored(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM payments"))
    finally:
        await connection.close()
