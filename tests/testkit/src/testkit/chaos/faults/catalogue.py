"""The list of faults. Each breaks something, holds it for a while, and repairs it.

The given Random determines a fault's target and duration, so a seed replays it.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from testkit.chaos.faults import network, postgres, processes
from testkit.chaos.system.running import System

Injection = Callable[[System, random.Random], Awaitable[str]]


@dataclass(frozen=True)
class Fault:
    """A fault; `inject` causes it, repairs it, and returns a description."""

    inject: Injection
    weight: int = 1

    @property
    def name(self) -> str:
        """Return its name in FAULTS= and in the table."""
        return self.inject.__name__


INJECTIONS: tuple[Injection, ...] = (
    processes.kill_api,
    processes.kill_worker,
    processes.freeze_worker,
    processes.freeze_worker_at_point,
    processes.freeze_api,
    processes.restart_worker,
    processes.restart_api,
    processes.kill_pooler,
    postgres.crash_postgres,
    postgres.terminate_backends,
    postgres.fill_disk,
    postgres.hold_account,
    postgres.hold_snapshot,
    network.cut_line,
    network.stall_line,
    network.delay_line,
    network.lose_answers,
    network.reset_connections,
    network.half_close_connections,
)
FAULTS = {
    fault.name: fault
    for fault in (
        *(Fault(injection) for injection in INJECTIONS),
        Fault(processes.kill_worker_at_point, weight=3),  # It has many points.
    )
}


def possible(system: System) -> list[Fault]:
    """Return the faults that this system supports."""
    return [
        fault
        for fault in FAULTS.values()
        if (system.database.disk or fault.inject is not postgres.fill_disk)
        and (system.pooler or fault.inject is not processes.kill_pooler)
    ]
