"""Keep workers busy during a measurement, and record their progress."""

import asyncio
import time
from dataclasses import dataclass

import asyncpg

from benchmarks.databases import FILL

ACCOUNTS = 1_000
WAITING_MIN = 40_000  # Pending payments, so that the workers never wait for one.
ADDED_AT_ONCE = 10_000
LOOK_SECONDS = 2.0

# From sequences: counting millions of rows would be a load in itself.
DONE = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM reconciliation_results_id_seq"
SIZES = """
SELECT relname, pg_relation_size(oid) AS bytes FROM pg_class
WHERE relname IN ('recon_jobs', 'recon_jobs_pkey', 'recon_jobs_payment_id_key',
                  'recon_jobs_claimable', 'recon_jobs_unfinished', 'accounts', 'accounts_pkey')
ORDER BY relname"""


@dataclass(frozen=True, slots=True)
class Progress:
    """The jobs done, and the bytes of each hot table and index."""

    seconds: float
    jobs: int
    bytes: dict[str, int]


async def feed(url: str, *, seconds: float = 1e9, jobs: int = 10**12) -> list[Progress]:
    """Add work until the time is over or enough jobs are done, then wait for the rest."""
    watching, adding = await asyncpg.connect(url), await asyncpg.connect(url)
    begun, added, seen = time.perf_counter(), 0, []
    look_seconds = min(LOOK_SECONDS, seconds / 20)
    filling: asyncio.Task[object] | None = None
    try:
        while True:
            done, now = await watching.fetchval(DONE), time.perf_counter() - begun
            if not seen or now - seen[-1].seconds >= look_seconds:
                seen.append(Progress(now, done, dict(await watching.fetch(SIZES))))
            over = now > seconds or done >= jobs
            if over and filling is None and done >= added:
                return seen
            if filling is not None and filling.done():
                await filling
                added, filling = added + ADDED_AT_ONCE, None
            if filling is None and not over and added - done < WAITING_MIN and added < jobs:
                statement = adding.execute(FILL, ADDED_AT_ONCE, ACCOUNTS, f"feed-{added}")
                filling = asyncio.create_task(statement)
            await asyncio.sleep(0.05)
    finally:
        await watching.close()
        await adding.close()
