"""Throughput while a snapshot is held open, so that vacuum can remove no dead row.

Two workers always have work. A REPEATABLE READ transaction stays open for `snapshot_minutes`; a
tenth of that time before it gives the baseline, and as much after it shows the recovery.
"""

import asyncio
import statistics
from contextlib import ExitStack
from itertools import pairwise

import asyncpg

from benchmarks.contest import Figures
from benchmarks.databases import audit, durable_postgres, fresh_database
from benchmarks.effort import Effort
from benchmarks.feeder import Progress, feed
from benchmarks.processes import running_worker

SHARE_BEFORE_AND_AFTER = 0.1
WORKERS = 2
AUDITED_PAYMENTS_MAX = 1_000_000  # For more, only entries since the last audit are audited.


def measure(effort: Effort) -> Figures:
    """Return jobs per second over time, and the cost of the snapshot in its last third."""
    held = effort.snapshot_minutes * 60
    around = held * SHARE_BEFORE_AND_AFTER
    with durable_postgres() as server:
        url = fresh_database(server.url, "bench")
        with ExitStack() as stack:
            for _ in range(WORKERS):
                stack.enter_context(running_worker(url))
            progress = asyncio.run(_run(url, around, held))
        audit(url, full=progress[-1].jobs <= AUDITED_PAYMENTS_MAX)
    rates = [
        (now.seconds, (now.jobs - before.jobs) / (now.seconds - before.seconds))
        for before, now in pairwise(progress)
    ]

    def median(begin: float, end: float) -> float:
        return statistics.median([rate for at, rate in rates if begin < at <= end] or [0.0])

    before = median(0, around)
    at_the_end = median(around + held * 2 / 3, around + held)
    return {
        "workers": WORKERS,
        "held_from_seconds": around,
        "held_to_seconds": around + held,
        "per_second": {
            "before": before,
            "in its first third": median(around, around + held / 3),
            "in its last third": at_the_end,
            "after": median(around + held, 2 * around + held),
        },
        "kept_of_throughput": at_the_end / before if before else None,
        "over_time": [{"seconds": at, "per_second": rate} for at, rate in rates],
    }


async def _run(url: str, around: float, held: float) -> list[Progress]:
    feeding = asyncio.create_task(feed(url, seconds=2 * around + held))
    await asyncio.sleep(around)
    holder = await asyncpg.connect(url)
    transaction = holder.transaction(isolation="repeatable_read")
    await transaction.start()
    await holder.fetchval("SELECT count(*) FROM accounts")  # The snapshot is taken here.
    await asyncio.sleep(held)
    await transaction.rollback()
    await holder.close()
    return await feeding
