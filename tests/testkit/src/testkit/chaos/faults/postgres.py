"""Faults of Postgres: crashes, ended sessions, a full disk, and other sessions' locks."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from testkit.chaos.system.running import System

RESTART_SECONDS_MAX = 60.0
HELD_SECONDS = 6.0  # Longer than lock_timeout.
UNREACHABLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)

TERMINATE = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND application_name <> 'chaos' AND random() < $1"""
HOLD = "SELECT FROM accounts WHERE account_id = 'acc_hot' ORDER BY currency FOR UPDATE"


async def crash_postgres(system: System, chance: random.Random) -> str:
    """Shut down immediately and, after a while, recover from the log."""
    async with system.database.busy:
        await system.database.crash()
        down_seconds = chance.uniform(0, 3)
        await asyncio.sleep(down_seconds)
        await system.database.start()
    return f"down {down_seconds:.1f} s"


async def terminate_backends(system: System, chance: random.Random) -> str:
    """Call pg_terminate_backend on random sessions, several times."""
    share, ended = chance.choice((0.2, 0.5, 1.0)), 0
    async with system.database.busy, system.database.connection() as sql:
        for _ in range(chance.randint(1, 6)):
            ended += await sql.fetchval(TERMINATE, share)
            await asyncio.sleep(chance.uniform(0, 0.3))
    return f"{ended} sessions"


async def fill_disk(system: System, chance: random.Random) -> str:
    """Fill Postgres' disk, tables and log alike; then free it."""
    async with system.database.busy:
        ballast = await asyncio.to_thread(system.database.fill_disk)
        full_seconds = chance.uniform(1, 5)
        await asyncio.sleep(full_seconds)
        ballast.unlink()
        died = await system.database.start_if_it_died()
        await system.database.until_it_answers(RESTART_SECONDS_MAX)
    return f"full {full_seconds:.1f} s{', Postgres ended' if died else ''}"


async def hold_account(system: System, chance: random.Random) -> str:
    """Hold the hot account's rows locked, in another transaction, beyond lock_timeout."""
    del chance
    async with system.database.busy, held_account(system, True):
        await asyncio.sleep(HELD_SECONDS)
    return f"{HELD_SECONDS:.0f} s"


async def hold_snapshot(system: System, chance: random.Random) -> str:
    """Hold a snapshot open, as a forgotten report does, so that vacuum cannot remove dead rows."""
    held_seconds = chance.uniform(3, 12)
    async with system.database.busy, system.database.connection() as sql:
        await sql.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await sql.fetch("SELECT count(*) FROM recon_jobs")
        await asyncio.sleep(held_seconds)
    return f"{held_seconds:.0f} s"


@asynccontextmanager
async def held_account(system: System, wanted: bool) -> AsyncIterator[None]:
    holder = await _hold(system) if wanted else None
    try:
        yield
    finally:
        if holder is not None:
            holder.terminate()


async def _hold(system: System) -> "asyncpg.Connection[Any] | None":
    with suppress(*UNREACHABLE):
        sql = await asyncpg.connect(
            system.database.server.url, timeout=10, server_settings={"application_name": "chaos"}
        )
        try:
            await sql.execute("BEGIN", timeout=10)
            await sql.execute(HOLD, timeout=10)
        except UNREACHABLE:
            sql.terminate()
        else:
            return sql
    return None
