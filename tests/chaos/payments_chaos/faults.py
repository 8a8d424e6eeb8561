"""The faults there are. Each breaks something, holds it so for a while, and leaves it mended.

What a fault hits and for how long is drawn from the Random it is given, so that a seed replays it.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from payments_chaos import network_faults, postgres_faults, process_faults
from payments_chaos.system import System

Strike = Callable[[System, random.Random], Awaitable[str]]


@dataclass(frozen=True)
class Fault:
    """`strike` returns, with everything mended, what exactly it did."""

    strike: Strike
    weight: int = 1

    @property
    def name(self) -> str:
        """As FAULTS= and the table name it."""
        return self.strike.__name__


STRIKES: tuple[Strike, ...] = (
    process_faults.kill_api,
    process_faults.kill_worker,
    process_faults.freeze_worker,
    process_faults.freeze_worker_at_point,
    process_faults.freeze_api,
    process_faults.restart_worker,
    process_faults.restart_api,
    process_faults.kill_pooler,
    postgres_faults.crash_postgres,
    postgres_faults.terminate_backends,
    postgres_faults.fill_disk,
    postgres_faults.hold_account,
    postgres_faults.hold_snapshot,
    network_faults.cut_line,
    network_faults.stall_line,
    network_faults.delay_line,
    network_faults.lose_answers,
    network_faults.reset_connections,
    network_faults.half_close_connections,
)
FAULTS = {
    fault.name: fault
    for fault in (
        *(Fault(strike) for strike in STRIKES),
        Fault(process_faults.kill_worker_at_point, weight=3),  # Its points are many.
    )
}


def possible(system: System) -> list[Fault]:
    """Those that this system can suffer."""
    return [
        fault
        for fault in FAULTS.values()
        if (system.database.disk or fault.strike is not postgres_faults.fill_disk)
        and (system.pooler or fault.strike is not process_faults.kill_pooler)
    ]
