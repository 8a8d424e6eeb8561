"""The faults. Each breaks something, holds it so for a while, and leaves it mended.

What a fault hits and for how long is drawn from the Random it is given, so that a seed replays it.
"""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import asyncpg

from payments_chaos.line import Line
from payments_chaos.services import Service
from payments_chaos.system import LEASE_SECONDS, System
from recon_worker.fault_points import POINTS, VARIABLE

UNREACHABLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)

Strike = Callable[[System, random.Random], Awaitable[str]]

REACHED_SECONDS_MAX = 15.0  # Some points may not be reached at all.
RESTART_SECONDS_MAX = 60.0
HELD_SECONDS = 6.0  # Longer than lock_timeout.

TERMINATE = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND application_name <> 'chaos' AND random() < $1"""
HOLD = "SELECT FROM accounts WHERE account_id = 'acc_hot' ORDER BY currency FOR UPDATE"


@dataclass(frozen=True)
class Fault:
    """`strike` returns, with everything mended, what exactly it did."""

    strike: Strike
    needs_small_disk: bool = False
    weight: int = 1

    @property
    def name(self) -> str:
        """As FAULTS= and the table name it."""
        return self.strike.__name__


@asynccontextmanager
async def _one_of(services: list[Service], chance: random.Random) -> AsyncIterator[Service]:
    """One of them, left alone by other faults meanwhile."""
    service = chance.choice(services)
    async with service.busy:
        yield service


def _of_this_release(system: System) -> list[Service]:
    return [worker for worker in system.workers if not worker.name.endswith("earlier")]


# --- processes ------------------------------------------------------------------------------------


async def kill_api(system: System, chance: random.Random) -> str:
    """kill -9 of an API, back after a moment."""
    async with _one_of(system.apis, chance) as api:
        api.kill()
        await asyncio.sleep(chance.uniform(0, 1))
        api.start()
        await api.until_ready()
    return api.name


async def kill_worker(system: System, chance: random.Random) -> str:
    """kill -9 of a worker at any moment, back after a while in which others take over."""
    async with _one_of(system.workers, chance) as worker:
        worker.kill()
        await asyncio.sleep(chance.uniform(0, 3))
        worker.start()
        await worker.until_ready()
    return worker.name


async def kill_worker_at_point(system: System, chance: random.Random) -> str:
    """kill -9 of a worker exactly between two steps of a batch."""
    point, times = chance.choice(POINTS), chance.choice((1, 1, 2, 3))
    async with _one_of(_of_this_release(system), chance) as worker:
        worker.kill()
        worker.start(**{VARIABLE: f"kill {point} {times}"})
        async with (
            # A batch that takes long has its lease renewed, or loses it when its worker freezes.
            _held_account(system, point in ("after_renewal", "after_rescue")),
            _others_frozen(system, worker, point == "after_rescue"),
        ):
            reached = await worker.until_killed(REACHED_SECONDS_MAX)
        worker.kill()
        worker.start()
        await worker.until_ready()
    return f"{worker.name}, {point} {'reached' if reached else 'not reached'}"


@asynccontextmanager
async def _others_frozen(system: System, worker: Service, wanted: bool) -> AsyncIterator[None]:
    """Leases of the others run out, and only this worker is there to notice."""
    others = [other for other in system.workers if other is not worker and not other.busy.locked()]
    await asyncio.sleep(1.0 if wanted else 0.0)  # By now they hold something.
    async with AsyncExitStack() as stack:
        for other in others if wanted else ():
            await stack.enter_async_context(other.busy)
            other.send(signal.SIGSTOP)
            stack.callback(other.send, signal.SIGCONT)
        yield


async def freeze_worker(system: System, chance: random.Random) -> str:
    """SIGSTOP of a worker until its lease has expired and its jobs are elsewhere, then SIGCONT."""
    async with _one_of(system.workers, chance) as worker:
        worker.send(signal.SIGSTOP)
        await asyncio.sleep(LEASE_SECONDS + chance.uniform(1, 3))
        worker.send(signal.SIGCONT)
    return worker.name


async def freeze_worker_at_point(system: System, chance: random.Random) -> str:
    """The same, exactly between two steps of a batch."""
    point = chance.choice(("after_claim", "after_fence", "after_posting", "after_commit"))
    async with _one_of(_of_this_release(system), chance) as worker:
        worker.kill()
        worker.start(**{VARIABLE: f"stop {point} 1"})
        frozen = await worker.until_frozen(REACHED_SECONDS_MAX)
        if frozen:
            await asyncio.sleep(LEASE_SECONDS + chance.uniform(1, 3))
            worker.send(signal.SIGCONT)
        else:
            worker.kill()  # It would freeze later, when nobody wakes it.
            worker.start()
        await worker.until_ready()
    return f"{worker.name}, {point} {'reached' if frozen else 'not reached'}"


async def freeze_api(system: System, chance: random.Random) -> str:
    """SIGSTOP of an API while its clients wait, then SIGCONT."""
    async with _one_of(system.apis, chance) as api:
        api.send(signal.SIGSTOP)
        await asyncio.sleep(chance.uniform(0.5, 5))
        api.send(signal.SIGCONT)
    return api.name


async def restart_worker(system: System, chance: random.Random) -> str:
    """SIGTERM: a rollout. It must drain and end with status 0."""
    async with _one_of(system.workers, chance) as worker:
        await worker.stop()
        worker.start()
        await worker.until_ready()
    return worker.name


async def restart_api(system: System, chance: random.Random) -> str:
    """SIGTERM: a rollout."""
    async with _one_of(system.apis, chance) as api:
        await api.stop()
        api.start()
        await api.until_ready()
    return api.name


async def kill_pooler(system: System, chance: random.Random) -> str:
    """kill -9 of PgBouncer, back after a moment."""
    assert system.pooler is not None
    async with system.pooler.busy:
        system.pooler.kill()
        await asyncio.sleep(chance.uniform(0, 2))
        system.pooler.start()
    return "pooler"


# --- Postgres -------------------------------------------------------------------------------------


async def crash_postgres(system: System, chance: random.Random) -> str:
    """Immediate shutdown and, after a while, recovery from the log."""
    async with system.database.busy:
        await system.database.crash()
        down_seconds = chance.uniform(0, 3)
        await asyncio.sleep(down_seconds)
        await system.database.start()
    return f"down {down_seconds:.1f} s"


async def terminate_backends(system: System, chance: random.Random) -> str:
    """pg_terminate_backend of some sessions, whatever they are doing, several times."""
    share, ended = chance.choice((0.2, 0.5, 1.0)), 0
    async with system.database.busy, system.database.connection() as sql:
        for _ in range(chance.randint(1, 6)):
            ended += await sql.fetchval(TERMINATE, share)
            await asyncio.sleep(chance.uniform(0, 0.3))
    return f"{ended} sessions"


async def fill_disk(system: System, chance: random.Random) -> str:
    """No byte is left for Postgres, neither for tables nor for its log; then there is again."""
    async with system.database.busy:
        ballast = await asyncio.to_thread(system.database.fill_disk)
        full_seconds = chance.uniform(1, 5)
        await asyncio.sleep(full_seconds)
        ballast.unlink()
        died = await system.database.start_if_it_died()
        await system.database.until_it_answers(RESTART_SECONDS_MAX)
    return f"full {full_seconds:.1f} s{', Postgres ended' if died else ''}"


async def hold_account(system: System, chance: random.Random) -> str:
    """Somebody else's transaction keeps the hot account's rows locked beyond lock_timeout."""
    del chance
    async with system.database.busy, _held_account(system, True):
        await asyncio.sleep(HELD_SECONDS)
    return f"{HELD_SECONDS:.0f} s"


@asynccontextmanager
async def _held_account(system: System, wanted: bool) -> AsyncIterator[None]:
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


# --- the network ----------------------------------------------------------------------------------


def _some_line(system: System, chance: random.Random) -> tuple[str, Line]:
    """A line between clients and an API, an API and Postgres, or a worker and Postgres."""
    lines = {f"clients to {a.name}": n for a, n in zip(system.apis, system.api_lines, strict=True)}
    lines |= {f"{name} to Postgres": line for name, line in system.postgres_lines.items()}
    name = chance.choice(sorted(lines))
    return name, lines[name]


async def cut_line(system: System, chance: random.Random) -> str:
    """Every connection is reset, and for a while no new one is possible."""
    name, line = _some_line(system, chance)
    line.cut()
    await asyncio.sleep(chance.uniform(0.2, 4))
    line.mend()
    return name


async def stall_line(system: System, chance: random.Random) -> str:
    """The network goes silent: nothing arrives and nothing ends. Then it goes on."""
    name, line = _some_line(system, chance)
    line.stall()
    await asyncio.sleep(chance.choice((0.5, 2, 5, 9)))
    line.mend()
    return name


async def delay_line(system: System, chance: random.Random) -> str:
    """Everything arrives, late."""
    name, line = _some_line(system, chance)
    delay_seconds = chance.choice((0.01, 0.05, 0.3))
    line.delay(delay_seconds)
    await asyncio.sleep(chance.uniform(1, 4))
    line.mend()
    return f"{name}, {delay_seconds * 1000:.0f} ms"


async def lose_answers(system: System, chance: random.Random) -> str:
    """Requests arrive and are carried out; the answers never come."""
    name, line = _some_line(system, chance)
    line.lose_answers()
    await asyncio.sleep(chance.uniform(0.2, 3))
    line.mend()
    return name


async def reset_connections(system: System, chance: random.Random) -> str:
    """Some connections are reset in the middle of whatever they carry, again and again."""
    name, line = _some_line(system, chance)
    for _ in range(chance.randint(1, 8)):
        line.reset(chance.choice((0.3, 1.0)), chance)
        await asyncio.sleep(chance.uniform(0, 0.3))
    return name


async def half_close_connections(system: System, chance: random.Random) -> str:
    """One side is told that nothing more comes, while the other still listens."""
    name, line = _some_line(system, chance)
    line.half_close(chance.choice((0.3, 1.0)), chance)
    await asyncio.sleep(chance.uniform(0.2, 2))
    return name


FAULTS = {
    fault.name: fault
    for fault in (
        *(Fault(strike) for strike in (kill_api, kill_worker, freeze_worker, freeze_api)),
        Fault(kill_worker_at_point, weight=3),
        *(Fault(strike) for strike in (freeze_worker_at_point, restart_worker, restart_api)),
        *(Fault(strike) for strike in (kill_pooler, crash_postgres, terminate_backends)),
        Fault(fill_disk, needs_small_disk=True),
        *(Fault(strike) for strike in (hold_account, cut_line, stall_line, delay_line)),
        *(Fault(strike) for strike in (lose_answers, reset_connections, half_close_connections)),
    )
}


def possible(system: System) -> list[Fault]:
    """Those that this system can suffer."""
    return [
        fault
        for fault in FAULTS.values()
        if (system.database.disk or not fault.needs_small_disk)
        and (system.pooler or fault.strike is not kill_pooler)
    ]
