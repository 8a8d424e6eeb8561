"""PgQueuer's jobs: a no-op, a measurement of the delay, or the ledger's work.

A dedicated connection for the queue and a pool for the jobs' work, on uvloop; the environment's
BATCH and CONNECTIONS override the defaults.
"""

import asyncio
import json
import os
import signal
import sys
import time
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks.peers import ledger

URL = os.environ["DATABASE_URL"]
BATCH = int(os.environ.get("PEER_BATCH", "1000"))
CONNECTIONS = int(os.environ.get("PEER_CONNECTIONS", "8"))


async def install() -> None:
    """Create its own tables and the ledger's."""
    connection = await asyncpg.connect(URL)
    await Queries.from_asyncpg_connection(connection).install()
    await connection.execute(ledger.TABLES)


async def fill(jobs: int) -> None:
    """Enqueue a backlog through its own API."""
    connection = await asyncpg.connect(URL)
    await connection.execute(ledger.FILL, jobs)
    queries = Queries.from_asyncpg_connection(connection)
    for first in range(1, jobs + 1, 5000):
        numbers = range(first, min(first + 5000, jobs + 1))
        await queries.enqueue(
            ["job"] * len(numbers), [str(n).encode() for n in numbers], [0] * len(numbers)
        )
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("CHECKPOINT")


async def pace(jobs: int, rate: float) -> None:
    """Enqueue jobs with their time at a steady rate."""
    queries = Queries.from_asyncpg_connection(await asyncpg.connect(URL))
    begun = time.perf_counter()
    for number in range(jobs):
        await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
        await queries.enqueue("job", repr(time.time()).encode())


async def work(kind: str) -> None:
    """Work until SIGTERM; for `stamp`, print each job's delay in seconds."""
    pool = await asyncpg.create_pool(URL, min_size=CONNECTIONS, max_size=CONNECTIONS)
    queue = PgQueuer.from_asyncpg_connection(await asyncpg.connect(URL))
    delays: list[float] = []

    async def nothing(job: Job) -> None:
        pass

    async def stamp(job: Job) -> None:
        assert job.payload is not None
        delays.append(time.time() - float(job.payload))

    async def one(job: Job) -> None:
        assert job.payload is not None
        await pool.execute(ledger.ONE, int(job.payload))

    async def four(job: Job) -> None:
        assert job.payload is not None
        payment = int(job.payload)
        async with pool.acquire() as tx, tx.transaction():
            account, amount = await tx.fetchrow(ledger.SETTLE, payment)
            clearing = ledger.clearing_account(account)
            balance, seq = await tx.fetchrow(ledger.MOVE, account, amount)
            cleared, clearing_seq = await tx.fetchrow(ledger.MOVE, clearing, -amount)
            await tx.execute(
                ledger.ENTER,
                *(payment, account, amount, seq, balance, clearing, clearing_seq, cleared),
            )

    kinds = {"nothing": nothing, "stamp": stamp, "one": one, "four": four}
    queue.entrypoint("job")(kinds[kind])
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, queue.shutdown.set)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await queue.run(batch_size=BATCH, dequeue_timeout=timedelta(seconds=30))
    print(json.dumps(delays), flush=True)


if __name__ == "__main__":
    command, kind, *numbers = sys.argv[1:]
    if command == "install":
        uvloop.run(install())
    elif command == "fill":
        uvloop.run(fill(int(numbers[0])))
    elif command == "pace":
        uvloop.run(pace(int(numbers[0]), float(numbers[1])))
    else:
        uvloop.run(work(kind))
