"""Faults of processes: killed, frozen and replaced, at random or between two steps of a batch."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from recon_worker.failpoints import BATCH_POINTS, VARIABLE, WEBHOOK_POINTS
from testkit.chaos.faults.postgres import held_account
from testkit.chaos.system.running import LEASE_SECONDS, System
from testkit.chaos.system.services import Service

REACHED_SECONDS_MAX = 15.0  # A worker may reach no point in time.


@asynccontextmanager
async def _one_of(services: list[Service], chance: random.Random) -> AsyncIterator[Service]:
    """Lock and yield one of the services, so that no other fault affects it meanwhile."""
    service = chance.choice(services)
    async with service.busy:
        yield service


def _of_this_release(system: System) -> list[Service]:
    return [worker for worker in system.workers if not worker.name.endswith("earlier")]


async def kill_api(system: System, chance: random.Random) -> str:
    """Kill an API with SIGKILL; restart it after a moment."""
    async with _one_of(system.apis, chance) as api:
        api.kill()
        await asyncio.sleep(chance.uniform(0, 1))
        api.start()
        await api.until_ready()
    return api.name


async def kill_worker(system: System, chance: random.Random) -> str:
    """Kill a worker with SIGKILL at a random moment; restart it after others took over."""
    async with _one_of(system.workers, chance) as worker:
        worker.kill()
        await asyncio.sleep(chance.uniform(0, 3))
        worker.start()
        await worker.until_ready()
    return worker.name


async def kill_worker_at_point(system: System, chance: random.Random) -> str:
    """Kill a worker with SIGKILL exactly between two steps of a batch, or of a webhook."""
    point = chance.choice((*BATCH_POINTS, *WEBHOOK_POINTS))
    times = chance.choice((1, 1, 2, 3))
    async with _one_of(_of_this_release(system), chance) as worker:
        worker.kill()
        worker.start(**{VARIABLE: f"kill {point} {times}"})
        async with (
            # A long batch renews its lease, or loses it when its worker freezes.
            held_account(system, point in ("after_renewal", "after_rescue")),
            _others_frozen(system, worker, point == "after_rescue"),
        ):
            reached = await worker.until_killed(REACHED_SECONDS_MAX)
        worker.kill()
        worker.start()
        await worker.until_ready()
    return f"{worker.name}, {point} {'reached' if reached else 'not reached'}"


@asynccontextmanager
async def _others_frozen(system: System, worker: Service, wanted: bool) -> AsyncIterator[None]:
    """Freeze the other workers until their leases expire, so that this worker must notice."""
    others = [other for other in system.workers if other is not worker and not other.busy.locked()]
    await asyncio.sleep(1.0 if wanted else 0.0)  # The other workers hold jobs by now.
    async with AsyncExitStack() as stack:
        for other in others if wanted else ():
            await stack.enter_async_context(other.busy)
            other.send(signal.SIGSTOP)
            stack.callback(other.send, signal.SIGCONT)
        yield


async def freeze_worker(system: System, chance: random.Random) -> str:
    """Stop a worker with SIGSTOP until its lease expired and others took its jobs; resume it."""
    async with _one_of(system.workers, chance) as worker:
        worker.send(signal.SIGSTOP)
        await asyncio.sleep(LEASE_SECONDS + chance.uniform(1, 3))
        worker.send(signal.SIGCONT)
    return worker.name


async def freeze_worker_at_point(system: System, chance: random.Random) -> str:
    """Do the same exactly between two steps of a batch."""
    point = chance.choice(("after_claim", "after_fence", "after_posting", "after_commit"))
    async with _one_of(_of_this_release(system), chance) as worker:
        worker.kill()
        worker.start(**{VARIABLE: f"stop {point} 1"})
        frozen = await worker.until_frozen(REACHED_SECONDS_MAX)
        if frozen:
            await asyncio.sleep(LEASE_SECONDS + chance.uniform(1, 3))
            worker.send(signal.SIGCONT)
        else:
            worker.kill()  # Otherwise it could freeze later, when nothing resumes it.
            worker.start()
        await worker.until_ready()
    return f"{worker.name}, {point} {'reached' if frozen else 'not reached'}"


async def freeze_api(system: System, chance: random.Random) -> str:
    """Stop an API with SIGSTOP while its clients wait; resume it."""
    async with _one_of(system.apis, chance) as api:
        api.send(signal.SIGSTOP)
        await asyncio.sleep(chance.uniform(0.5, 5))
        api.send(signal.SIGCONT)
    return api.name


async def restart_worker(system: System, chance: random.Random) -> str:
    """Restart a worker with SIGTERM, as a rollout does. It must drain and exit with status 0."""
    return await _restart_one_of(system.workers, chance)


async def restart_api(system: System, chance: random.Random) -> str:
    """Restart an API with SIGTERM, as a rollout does."""
    return await _restart_one_of(system.apis, chance)


async def _restart_one_of(services: list[Service], chance: random.Random) -> str:
    async with _one_of(services, chance) as service:
        await service.stop()
        service.start()
        await service.until_ready()
    return service.name


async def kill_pooler(system: System, chance: random.Random) -> str:
    """Kill PgBouncer with SIGKILL; restart it after a moment."""
    assert system.pooler is not None
    async with system.pooler.busy:
        system.pooler.kill()
        await asyncio.sleep(chance.uniform(0, 2))
        system.pooler.start()
    return "pooler"
