"""A load generator for demonstrations: posts payments at a steady rate and reports the outcome.

    python load.py --api-url http://payments-api:3001 --rate 20

Most payments are valid; a few of every hundred fail or settle with a discrepancy. Each is retried
with its own idempotency key, as a client should, so a restart of the API loses none.
"""

import argparse
import asyncio
import os
import random
import signal
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field

import httpx

ATTEMPTS_MAX = 8
BACKOFF_SECONDS_MAX = 5.0
IN_FLIGHT_MAX = 200  # A slow API is not flooded: above this number, the generator waits.
REPORT_SECONDS = 5


@dataclass
class Tally:
    """Counts since the last report; latencies in seconds."""

    counts: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    def report(self) -> str:
        ordered = sorted(self.latencies) or [0.0]
        p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
        counts = " ".join(f"{name}={count}" for name, count in sorted(self.counts.items()))
        return f"load: {counts or 'nothing sent'} p50={p50:.0f}ms p99={p99:.0f}ms"


def _key_header() -> dict[str, str]:
    """Return the Authorization header for an API that requires keys, from PAYMENTS_API_KEY."""
    key = os.environ.get("PAYMENTS_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def some_payment(accounts: int) -> dict[str, str]:
    """Return a payment's body: of 100, about 3 negative, 2 zero and 5 with the fraction .13."""
    dice = random.random()  # noqa: S311 - it plays, it does not encrypt.
    whole = random.randint(1, 500)  # noqa: S311 - as above
    if dice < 0.03:
        amount = f"-{whole}.00"
    elif dice < 0.05:
        amount = "0.00"
    elif dice < 0.10:
        amount = f"{whole}.13"
    else:
        amount = f"{whole}.{random.choice((0, 25, 50, 99)):02d}"  # noqa: S311 - as above
    account = f"demo-{random.randrange(accounts):04d}"  # noqa: S311 - as above
    return {"accountId": account, "amount": amount, "description": "load"}


async def post(client: httpx.AsyncClient, accounts: int, tally: Tally) -> None:
    key, body = str(uuid.uuid4()), some_payment(accounts)
    for attempt in range(ATTEMPTS_MAX):
        started = time.perf_counter()
        try:
            answer = await client.post("/payments", json=body, headers={"Idempotency-Key": key})
        except httpx.TransportError:
            tally.counts["unreachable"] += 1
        else:
            tally.latencies.append(time.perf_counter() - started)
            tally.counts[str(answer.status_code)] += 1
            if answer.status_code < 500:
                return
        # Full jitter: clients that failed together do not return together.
        await asyncio.sleep(random.uniform(0, min(BACKOFF_SECONDS_MAX, 0.1 * 2**attempt)))  # noqa: S311 - as above
    tally.counts["given_up"] += 1


async def report_regularly(tally: Tally) -> None:
    while True:
        await asyncio.sleep(REPORT_SECONDS)
        print(tally.report(), flush=True)
        tally.counts.clear()
        tally.latencies.clear()


async def generate(api_url: str, rate: float, accounts: int) -> None:
    """Post until SIGTERM, then finish the requests in progress."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tally = Tally()
    reporter = asyncio.create_task(report_regularly(tally))
    under_way: set[asyncio.Task[None]] = set()
    async with httpx.AsyncClient(headers=_key_header(), base_url=api_url, timeout=10) as client:
        due = time.monotonic()
        while not stop.is_set():
            # After a pause, do not send the missed payments in a burst.
            due = max(due + 1 / rate, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if len(under_way) < IN_FLIGHT_MAX:
                task = asyncio.create_task(post(client, accounts, tally))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
        if under_way:
            await asyncio.wait(under_way, timeout=10)
    reporter.cancel()
    print(tally.report(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--api-url", default="http://127.0.0.1:3001")
    parser.add_argument("--rate", type=float, default=20.0, help="payments a second")
    parser.add_argument("--accounts", type=int, default=50)
    arguments = parser.parse_args()
    if arguments.rate <= 0 or arguments.accounts < 1:
        parser.error("--rate and --accounts must be positive")
    asyncio.run(generate(arguments.api_url, arguments.rate, arguments.accounts))


if __name__ == "__main__":
    main()
