"""Latency at 50 payments a second, with otherwise idle workers.

Ours: from the client's POST to the commit that completes the payment. For comparison with peers:
from storing a job to its start, ours by the database's clock, theirs by the clock that job and
producer share.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import asyncpg
import httpx

from benchmarks.contest import Contender, Contest, Figures, percentiles
from benchmarks.databases import audit, durable_postgres, fresh_database
from benchmarks.effort import Effort
from benchmarks.processes import (
    Absent,
    end,
    go,
    peer_command,
    peer_run,
    peer_worker,
    running_api,
    running_worker,
)
from payments_core.queue.notify import PAYMENTS_CHANNEL

RATE_PER_SECOND = 50
SETTLE_SECONDS = 2.0
ANSWERED = "ours, POST to answer"
COMPLETED = "ours, POST to completed"
STARTED = "ours, stored to started"
PEERS = {
    "PgQueuer, enqueue to start": "pgqueuer_jobs",
    "graphile-worker, enqueue to start": "graphile.js",
}
# A worker's transaction begins right after the claim.
STARTED_QUERY = """
SELECT extract(epoch FROM settled_at - created_at)::float8 FROM payments
WHERE idempotency_key LIKE 'latency-%'"""


def measure(effort: Effort) -> Figures:
    """Return percentiles in milliseconds of an open loop: a slow answer delays no other request."""
    contest = Contest("ms")
    samples: dict[str, list[list[float]]] = {}

    def keeping(take: Callable[[], Mapping[str, list[float]]]) -> Mapping[str, float]:
        for name, seconds in take().items():
            samples.setdefault(name, []).append(seconds)
        of_last = percentiles(samples[name][-1])
        return {"p50": of_last["p50"], "p99": of_last["p99"]}

    # Two turns show whether the machine was quiet; the spread is in the distribution.
    repeats = min(2, effort.repeats)
    seconds = effort.latency_seconds / repeats
    with durable_postgres() as server:
        takes = [Contender("ours", partial(keeping, partial(_ours, server.url, seconds)))]
        for name, program in PEERS.items():
            try:
                peer_command(program)
            except Absent as error:
                contest.skipped[name] = str(error)
            else:
                take = partial(_peer, name, program, server.url, seconds)
                takes.append(Contender(name, partial(keeping, take)))
        contest.run(takes, repeats)
    return {
        "unit": "ms",
        "rate_per_second": RATE_PER_SECOND,
        "contenders": {
            name: percentiles([one for turn in turns for one in turn])
            for name, turns in samples.items()
        },
        "p50_of_each_turn": {
            name: [percentiles(turn)["p50"] for turn in turns] for name, turns in samples.items()
        },
        "skipped": contest.skipped,
    }


def _peer(name: str, program: str, server_url: str, seconds: float) -> dict[str, list[float]]:
    url = fresh_database(server_url, "bench", "template1")
    peer_run(program, "install", "stamp", DATABASE_URL=url)
    with peer_worker(program, "stamp", url) as running:
        go(running)
        time.sleep(SETTLE_SECONDS)
        warm = RATE_PER_SECOND
        jobs = warm + round(seconds * RATE_PER_SECOND)
        peer_run(program, "pace", "stamp", str(jobs), str(RATE_PER_SECOND), DATABASE_URL=url)
        time.sleep(SETTLE_SECONDS)
        delays: list[float] = json.loads(end(running).splitlines()[-1])
    if len(delays) != jobs:
        raise RuntimeError(f"{name} began {len(delays)} of {jobs} jobs")
    return {name: delays[warm:]}


def _ours(server_url: str, seconds: float) -> dict[str, list[float]]:
    url = fresh_database(server_url, "bench")
    with ExitStack() as stack:
        api = stack.enter_context(running_api(url))
        stack.enter_context(running_worker(url))
        answered, completed = asyncio.run(_drive(api, url, seconds))
        started = asyncio.run(_fetch_column(url, STARTED_QUERY))
    audit(url)
    return {ANSWERED: answered, STARTED: started, COMPLETED: completed}


async def _fetch_column(url: str, query: str) -> list[float]:
    connection = await asyncpg.connect(url)
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def _drive(api: str, url: str, seconds: float) -> tuple[list[float], list[float]]:
    notices: dict[str, list[float]] = {}

    def note(_connection: object, _pid: int, _channel: str, payload: Any) -> None:
        for payment_id in payload.split():
            notices.setdefault(payment_id, []).append(time.perf_counter())

    listening = await asyncpg.connect(url)
    await listening.add_listener(PAYMENTS_CHANNEL, note)
    sent: dict[str, float] = {}
    answered: list[float] = []
    async with httpx.AsyncClient(base_url=api, timeout=30) as client:

        async def post(kind: str, number: int) -> None:
            began = time.perf_counter()
            answer = await client.post(
                "/payments",
                json={"accountId": f"acc_{number % 100}", "amount": "10.00"},
                headers={"Idempotency-Key": f"{kind}-{began}-{number}"},
            )
            answered.append(time.perf_counter() - began)
            sent[answer.raise_for_status().json()["id"]] = began

        for number in range(RATE_PER_SECOND):  # Warm-up, not counted.
            await post("warm", number)
        answered.clear()
        sent.clear()
        begin = time.perf_counter()
        tasks = []
        for number in range(round(seconds * RATE_PER_SECOND)):
            await asyncio.sleep(max(0.0, begin + number / RATE_PER_SECOND - time.perf_counter()))
            tasks.append(asyncio.create_task(post("latency", number)))
        await asyncio.gather(*tasks)
        await asyncio.sleep(SETTLE_SECONDS)
    await listening.close()
    # A payment's first event is its creation, the last its completion.
    completed = [
        notices[payment][-1] - began
        for payment, began in sent.items()
        if len(notices.get(payment, ())) > 1
    ]
    if len(completed) != len(sent):
        raise RuntimeError(f"{len(sent) - len(completed)} payments were not completed in time")
    return answered, completed
