"""Payments reconciled per second over a backlog, by real worker processes."""

import asyncio
import signal
import statistics
import time
from contextlib import ExitStack

import asyncpg

from benchmarks import bare_sql
from benchmarks.machine import audit, empty, fill, running_worker
from payments_local.postgres import EmbeddedPostgres

HOT = 1  # All payments on one account.
SPREAD = 1_000


def measure(server: EmbeddedPostgres, payments: int, repeats: int) -> dict[str, object]:
    """One and two workers, spread and hot, in turns with bare SQL on as many connections."""
    cases = {
        "one worker, 1,000 accounts": (1, SPREAD),
        "two workers, 1,000 accounts": (2, SPREAD),
        "one worker, one hot account": (1, HOT),
        "two workers, one hot account": (2, HOT),
    }
    rates: dict[str, list[float]] = {name: [] for name in cases}
    bare: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(repeats):
        for name, (workers, accounts) in cases.items():
            rates[name].append(asyncio.run(_drained(server, payments, accounts, workers)))
            audit(server.url)
        for connections, of_bare in bare.items():
            of_bare.append(
                asyncio.run(bare_sql.payments_per_second(server.url, payments, SPREAD, connections))
            )
    median = {name: statistics.median(of_case) for name, of_case in rates.items()}
    return {
        "payments": payments,
        "per_second": rates,
        "bare_sql_per_second": {str(n): of_bare for n, of_bare in bare.items()},
        "ratio_to_bare_sql": {
            "one worker": median["one worker, 1,000 accounts"] / statistics.median(bare[1]),
            "two workers": median["two workers, 1,000 accounts"] / statistics.median(bare[2]),
        },
        "hot_to_spread": {
            "one worker": median["one worker, one hot account"]
            / median["one worker, 1,000 accounts"],
            "two workers": median["two workers, one hot account"]
            / median["two workers, 1,000 accounts"],
        },
    }


async def _drained(server: EmbeddedPostgres, payments: int, accounts: int, workers: int) -> float:
    """From the moment the backlog may run to the moment all of it is settled."""
    await empty(server.url)
    url = server.url.replace("postgres@", "payments_worker@")
    connection = await asyncpg.connect(server.url)
    try:
        with ExitStack() as stack:
            started = [
                stack.enter_context(running_worker(url, RECON_WORKER_AUDIT_INTERVAL_SECONDS="0"))
                for _ in range(workers)
            ]
            # Ready and asleep while the backlog is made: their start is not what is measured.
            for worker in started:
                worker.send_signal(signal.SIGSTOP)
            await fill(server.url, payments, accounts)
            for worker in started:
                worker.send_signal(signal.SIGCONT)
            began = time.perf_counter()
            await _until_settled(connection)
            return payments / (time.perf_counter() - began)
    finally:
        await connection.close()


async def _until_settled(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    query = "SELECT EXISTS (SELECT FROM recon_jobs WHERE status <> 'completed')"
    while await connection.fetchval(query):  # noqa: ASYNC110 - it is in another process.
        await asyncio.sleep(0.02)
