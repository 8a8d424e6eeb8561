"""procrastinate's jobs: a no-op, or the ledger's work.

The environment's CONCURRENCY and CONNECTIONS override the defaults.
"""

import asyncio
import logging
import os
import sys

import procrastinate
import psycopg
from psycopg_pool import AsyncConnectionPool

from benchmarks.peers import ledger

URL = os.environ["DATABASE_URL"]
CONCURRENCY = int(os.environ.get("PEER_CONCURRENCY", "20"))
CONNECTIONS = int(os.environ.get("PEER_CONNECTIONS", "10"))

logging.disable(logging.WARNING)  # It warns that the app is defined in a main module.
app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(
        conninfo=URL, min_size=CONNECTIONS, max_size=CONNECTIONS
    )
)
# Raw cursors accept $1 parameters, which the statements use.
pool = AsyncConnectionPool(
    URL,
    open=False,
    min_size=CONNECTIONS,
    max_size=CONNECTIONS,
    kwargs={"cursor_factory": psycopg.AsyncRawCursor},
)


@app.task(name="nothing")
async def nothing(payment: int) -> None:
    """Do nothing."""


@app.task(name="one")
async def one(payment: int) -> None:
    """Do the ledger's work in one statement."""
    async with pool.connection() as tx:
        await tx.execute(ledger.ONE, (payment,))


@app.task(name="four")
async def four(payment: int) -> None:
    """Do the ledger's work in four statements and one transaction."""
    async with pool.connection() as tx:
        account, amount = await _row(tx, ledger.SETTLE, payment)
        clearing = ledger.clearing_account(account)
        balance, seq = await _row(tx, ledger.MOVE, account, amount)
        cleared, clearing_seq = await _row(tx, ledger.MOVE, clearing, -amount)
        entries = (payment, account, amount, seq, balance, clearing, clearing_seq, cleared)
        await tx.execute(ledger.ENTER, entries)


async def _row(tx: "psycopg.AsyncConnection[tuple[int, ...]]", statement: str, *values: object):
    row = await (await tx.execute(statement, values)).fetchone()
    assert row is not None, statement
    return row


async def install() -> None:
    """Create its own tables and the ledger's."""
    async with app.open_async(), pool:
        await app.schema_manager.apply_schema_async()
        async with pool.connection() as connection:
            for statement in filter(str.strip, ledger.TABLES.split(";")):
                await connection.execute(statement)


async def fill(kind: str, jobs: int) -> None:
    """Enqueue a backlog through its own API."""
    async with app.open_async(), pool:
        async with pool.connection() as connection:
            await connection.execute(ledger.FILL, (jobs,))
        task = app.tasks[kind]
        for first in range(1, jobs + 1, 5000):
            numbers = range(first, min(first + 5000, jobs + 1))
            await task.batch_defer_async(*({"payment": number} for number in numbers))
        async with pool.connection() as connection:
            await connection.set_autocommit(True)
            await connection.execute("VACUUM ANALYZE")
            await connection.execute("CHECKPOINT")
            await connection.set_autocommit(False)


async def work() -> None:
    """Work until SIGTERM; finished jobs are deleted, as by the other peers."""
    async with app.open_async(), pool:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await app.run_worker_async(concurrency=CONCURRENCY, delete_jobs="always")


if __name__ == "__main__":
    command, kind, *numbers = sys.argv[1:]
    if command == "install":
        asyncio.run(install())
    elif command == "fill":
        asyncio.run(fill(kind, int(numbers[0])))
    else:
        asyncio.run(work())
