"""From a client's POST to the commit that completes the payment, at a steady rate."""

import asyncio
import statistics
import time
from typing import Any

import asyncpg
import httpx

from benchmarks.machine import empty, running_api, running_worker
from payments_core.notices import PAYMENTS_CHANNEL
from payments_local.postgres import EmbeddedPostgres

RATE_PER_SECOND = 50


def measure(server: EmbeddedPostgres, seconds: int) -> dict[str, object]:
    """Percentiles in milliseconds, of an open loop: a slow answer delays nobody else."""
    asyncio.run(empty(server.url))
    with (
        running_api(server.url.replace("postgres@", "payments_api@")) as api,
        running_worker(server.url.replace("postgres@", "payments_worker@")),
    ):
        answered, completed = asyncio.run(_drive(api, server.url, seconds))
    return {
        "rate_per_second": RATE_PER_SECOND,
        "payments": len(completed),
        "answered_milliseconds": _percentiles(answered),
        "completed_milliseconds": _percentiles(completed),
    }


async def _drive(api: str, url: str, seconds: int) -> tuple[list[float], list[float]]:
    notices: dict[str, list[float]] = {}

    def note(_connection: object, _pid: int, _channel: str, payload: Any) -> None:
        for payment_id in payload.split():
            notices.setdefault(payment_id, []).append(time.perf_counter())

    listening = await asyncpg.connect(url)
    await listening.add_listener(PAYMENTS_CHANNEL, note)
    sent: dict[str, float] = {}
    answered: list[float] = []
    async with httpx.AsyncClient(base_url=api, timeout=30) as client:

        async def post(number: int) -> None:
            began = time.perf_counter()
            answer = await client.post(
                "/payments",
                json={"accountId": f"acc_{number % 100}", "amount": "10.00"},
                headers={"Idempotency-Key": f"latency-{began}-{number}"},
            )
            answered.append(time.perf_counter() - began)
            sent[answer.raise_for_status().json()["id"]] = began

        for number in range(RATE_PER_SECOND):  # Warm, and then forgotten.
            await post(number)
        answered.clear()
        sent.clear()
        begin = time.perf_counter()
        tasks = []
        for number in range(seconds * RATE_PER_SECOND):
            await asyncio.sleep(max(0.0, begin + number / RATE_PER_SECOND - time.perf_counter()))
            tasks.append(asyncio.create_task(post(number)))
        await asyncio.gather(*tasks)
        await asyncio.sleep(2)
    await listening.close()
    # The first notice of a payment is its creation, the last its completion.
    completed = [
        notices[payment][-1] - began for payment, began in sent.items() if len(notices[payment]) > 1
    ]
    if len(completed) != len(sent):
        raise RuntimeError(f"{len(sent) - len(completed)} payments were not completed in time")
    return answered, completed


def _percentiles(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return {name: cuts[n - 1] * 1000 for name, n in (("p50", 50), ("p90", 90), ("p99", 99))}
