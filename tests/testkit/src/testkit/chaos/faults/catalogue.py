"""The list of faults. Each breaks something, holds it for a while, and repairs it.

The given Random determines a fault's target and duration, so a seed replays it.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from testkit.chaos.faults import network, postgres, processes
from testkit.chaos.system.running import System

Strike = Callable[[System, random.Random], Awaitable[str]]


@dataclass(frozen=True)
class Fault:
    """A fault; `strike` injects it, repairs it, and returns a description."""

    strike: Strike
    weight: int = 1

    @property
    def name(self) -> str:
        """Return its name in FAULTS= and in the table."""
        return self.strike.__name__


STRIKES: tuple[Strike, ...] = (
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
        *(Fault(strike) for strike in STRIKES),
        Fault(processes.kill_worker_at_point, weight=3),  # It has many points.
    )
}


def possible(system: System) -> list[Fault]:
    """Return the faults that this system supports."""
    return [
        fault
        for fault in FAULTS.values()
        if (system.database.disk or fault.strike is not postgres.fill_disk)
        and (system.pooler or fault.strike is not processes.kill_pooler)
    ]
