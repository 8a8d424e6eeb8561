"""Overload: the API at twice its capacity: the goodput, and the latency of rejections.

Capacity is measured first, with the number of connections that suits it. Then a thousand clients
offer twice that rate, while an observer sends twenty requests a second before, during and after
the overload, and records each answer and its latency. Both loads take turns, so that noise on the
machine affects both alike. Clients wait for each answer (a closed loop) and adapt their pauses, so
that they offer twice the capacity as far as the answers' latency allows.
"""

import asyncio
import json
import os
import statistics
import subprocess
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import psutil

from benchmarks.contest import Figures
from benchmarks.databases import durable_postgres, fresh_database
from benchmarks.effort import Effort
from benchmarks.load import wrk_path
from benchmarks.processes import Absent, api_process, busy_seconds

SUITS_CONNECTIONS = 32
CLIENTS = 1_000
LOOK_SECONDS = 0.05
QUIET_SECONDS = 2.0  # Observed before and after each overload.
TURNS = 5
PACES_TRIED = 8  # One second each, before the first turn.
TIMES_THE_BEST = 2
LOCK_SECONDS_MAX = 3  # Shorter than the API's lock_timeout.
HERE = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Look:
    """One answer to the observer; `at` is the time of its request."""

    at: float
    status: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Turn:
    """One load: its counts, and the processor seconds that the API used."""

    began: float
    ended: float
    cpu: float
    counted: dict[str, float]

    @property
    def rate(self) -> float:
        """Payments created per second."""
        return self.counted["created"] / self.counted["seconds"]

    @property
    def answered(self) -> float:
        """Requests answered per second, including rejections: the offered rate."""
        answers = (self.counted[name] for name in ("created", "refused", "other"))
        return sum(answers) / self.counted["seconds"]


def measure(effort: Effort) -> Figures:
    """Return payments created per second at capacity and at twice that, and the rejections."""
    with durable_postgres() as server:
        url = fresh_database(server.url, "bench")
        try:
            seconds = max(4, round(effort.seconds))
            figures = asyncio.run(_measure(url, wrk_path(), seconds))
            return figures | asyncio.run(_cost_of_a_refusal(url, wrk_path()))
        except Absent as error:
            return {"skipped": str(error)}


async def _measure(url: str, wrk: str, seconds: int) -> Figures:
    at_best, overloads, looks = [], [], []
    with api_process(url, LOG_LEVEL="ERROR") as (api, running):
        watched = psutil.Process(running.pid)
        await _load(wrk, api, 2, SUITS_CONNECTIONS, 0)  # Warm-up.
        before = watched.memory_info().rss
        pause = 0
        for turn in range(TURNS):
            best = await _turn(watched, _load(wrk, api, seconds, SUITS_CONNECTIONS, 0))
            at_best.append(best)
            for _ in range(0 if turn else PACES_TRIED):
                tried = await _turn(watched, _load(wrk, api, 1, CLIENTS, pause))
                pause = _pause(pause, tried.answered, best.rate)
            looking = asyncio.create_task(_look(api, seconds + 2 * QUIET_SECONDS))
            await asyncio.sleep(QUIET_SECONDS)
            over = await _turn(watched, _load(wrk, api, seconds, CLIENTS, pause))
            overloads.append(over)
            pause = _pause(pause, over.answered, best.rate)
            looks += await looking
        after = watched.memory_info().rss
    during = [look for look in looks if any(t.began + 1 < look.at < t.ended for t in overloads)]
    later = [look for look in looks if any(0.5 < look.at - t.ended < 3 for t in overloads)]
    pairs = list(zip(at_best, overloads, strict=True))
    shares = [over.rate / best.rate for best, over in pairs]
    told = {
        name: sum(turn.counted[name] for turn in overloads)
        for name in ("refused", "refused_with_retry_after", "other", "socket_errors")
    }
    created = sum(turn.counted["created"] for turn in at_best)
    return {
        "best_connections": SUITS_CONNECTIONS,
        "best_created_per_second": round(statistics.median(turn.rate for turn in at_best)),
        "offered_per_second": round(statistics.median(over.answered for over in overloads)),
        "offered_to_best": round(statistics.median(o.answered / b.rate for b, o in pairs), 2),
        "created_per_second": round(statistics.median(turn.rate for turn in overloads)),
        "share_of_best": round(statistics.median(shares), 3),
        "shares_of_best": [round(share, 3) for share in shares],
        **told,
        "accepted_milliseconds": _milliseconds(during, 201),
        "refused_milliseconds": _milliseconds(during, 503),
        "cpu_microseconds_of_a_creation": round(sum(turn.cpu for turn in at_best) / created * 1e6),
        "memory_grew_megabytes": round((after - before) / 1e6, 1),
        "after_it": {"answers": len(later), "created": sum(x.status == 201 for x in later)},
        "payments_stored": await _stored(url),
    }


async def _cost_of_a_refusal(url: str, wrk: str) -> Figures:
    """Measure an API that admits one creation, which waits for a lock: it rejects all others."""
    with api_process(url, LOG_LEVEL="ERROR", PAYMENTS_API_REQUESTS_MAX="1") as (api, running):
        locked = await asyncpg.connect(url)
        await locked.execute("BEGIN; LOCK TABLE payments IN EXCLUSIVE MODE")
        one = asyncio.create_task(_look(api, 0.1))
        await asyncio.sleep(0.5)
        load = _load(wrk, api, LOCK_SECONDS_MAX, SUITS_CONNECTIONS, 0)
        refusing = await _turn(psutil.Process(running.pid), load)
        await locked.close()
        await one
    refusal = refusing.cpu / refusing.counted["refused"]
    return {"cpu_microseconds_of_a_refusal": round(refusal * 1e6, 1)}


async def _turn(watched: psutil.Process, load: Coroutine[Any, Any, dict[str, float]]) -> Turn:
    began, cpu_began = time.monotonic(), busy_seconds(watched)
    counted = await load
    return Turn(began, time.monotonic(), busy_seconds(watched) - cpu_began, counted)


def _pause(pause: int, answered: float, best: float) -> int:
    """Return the clients' next pause in milliseconds: shorter if answers took longer."""
    answer = 1000 * CLIENTS / answered - pause
    return max(0, round(1000 * CLIENTS / (TIMES_THE_BEST * best) - answer))


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
