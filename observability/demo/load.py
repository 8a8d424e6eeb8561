"""The load of a busy day: waves, bursts, a few hot accounts, and invalid requests."""

import asyncio
import math
import random
import time
import uuid
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import httpx

WAVE_SECONDS = 60.0
BURST_EVERY_SECONDS = 20.0
BURST_REQUESTS = 3  # Of a thousand payments each.
HOT_ACCOUNTS = 3
ACCOUNTS = 400
FLAKY_ACCOUNT = "flaky"  # system.py makes its settlements fail, on a temporary database only.
REVERSALS_AFTER_SECONDS = 5.0  # By then payments are completed.
UNDER_WAY_MAX = 100  # A slow API is not flooded.

_random = random.Random()  # noqa: S311 - it plays.


def some_payment() -> dict[str, str]:
    """Return a payment: of 100, 3 negative, 2 zero, 5 with a discrepancy, 30 on hot accounts."""
    whole = _random.randint(1, 900)
    dice = _random.random()
    cents = f"{_random.choice((0, 20, 50, 99)):02d}"
    amount = f"{whole}.{cents}"
    if dice < 0.03:
        amount = f"-{amount}"
    elif dice < 0.05:
        amount = "0.00"
    elif dice < 0.10:
        amount = f"{whole}.13"
    dice = _random.random()
    account = _usual_account()
    if dice < 0.3:
        account = f"hot-{_random.randrange(HOT_ACCOUNTS)}"
    elif dice < 0.302:
        account = FLAKY_ACCOUNT
    return {"accountId": account, "amount": amount, "description": "demonstration"}


def _usual_account() -> str:
    return f"acc-{_random.randrange(ACCOUNTS):04d}"


async def _pay(client: httpx.AsyncClient) -> None:
    key = str(uuid.uuid4())
    dice = _random.random()
    if dice < 0.02:
        headers = {} if dice < 0.008 else {"Idempotency-Key": key}
        await client.post("/payments", json={"amount": "1.005"}, headers=headers)
        return
    payment = some_payment()
    for _ in range(2 if dice < 0.06 else 1):
        await client.post("/payments", json=payment, headers={"Idempotency-Key": key})


async def _reverse(client: httpx.AsyncClient) -> None:
    """Return half of a recent payment."""
    answer = await client.get("/payments", params={"status": "completed", "limit": "20"})
    payment = _random.choice(answer.raise_for_status().json()["payments"])
    half = f"{float(payment['amount']) / 2:.2f}"
    path, key = f"/payments/{payment['id']}/reversals", str(uuid.uuid4())
    body = {"amount": half, "reason": "demonstration"}
    await client.post(path, json=body, headers={"Idempotency-Key": key})


async def _read(client: httpx.AsyncClient) -> None:
    account = _usual_account()
    path = _random.choice(
        ("/payments?limit=20", f"/accounts/{account}/balance", f"/accounts/{account}/entries")
    )
    await client.get(path)


async def _burst(client: httpx.AsyncClient) -> None:
    for _ in range(BURST_REQUESTS):
        items = [{"idempotencyKey": str(uuid.uuid4()), **some_payment()} for _ in range(1_000)]
        await client.post("/payments/batch", json={"payments": items})


async def _look_at_the_page(ui_url: str) -> None:
    async with httpx.AsyncClient(base_url=ui_url, timeout=10) as browser:
        await browser.get("/")


async def _follow(client: httpx.AsyncClient) -> None:
    """Read an event stream, as a client does."""
    while True:
        try:
            async with client.stream("GET", "/payments/events", timeout=None) as stream:
                async for _ in stream.aiter_raw():
                    pass
        except httpx.HTTPError:
            await asyncio.sleep(1)


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    with suppress(httpx.HTTPError):  # Failures show on the dashboards.
        await work


async def run_load(api_url: str, ui_url: str, rate: float) -> None:
    """Create about `rate` payments a second until cancelled."""
    under_way: set[asyncio.Task[None]] = set()

    def start(work: Coroutine[Any, Any, None]) -> None:
        if len(under_way) < UNDER_WAY_MAX:
            task = asyncio.create_task(_quietly(work))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        else:
            work.close()

    async with httpx.AsyncClient(base_url=api_url, timeout=20) as client:
        followers = [asyncio.create_task(_follow(client)) for _ in range(3)]
        began = last_burst = time.monotonic()
        try:
            while True:
                now = time.monotonic()
                wave = 1 + 0.6 * math.sin(2 * math.pi * (now - began) / WAVE_SECONDS)
                start(_pay(client))
                if _random.random() < 0.1:
                    start(_read(client))
                if now - began > REVERSALS_AFTER_SECONDS and _random.random() < 0.02:
                    start(_reverse(client))
                if _random.random() < 0.01:
                    start(_look_at_the_page(ui_url))
                if now - last_burst > BURST_EVERY_SECONDS:
                    last_burst = now
                    start(_burst(client))
                await asyncio.sleep(1 / (rate * wave))
        finally:
            for follower in followers:
                follower.cancel()
