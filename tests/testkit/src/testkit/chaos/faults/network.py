"""Network faults: connections are cut, stalled, delayed and reset in the middle of data."""

import asyncio
import random

from testkit.chaos.system.running import System
from testkit.network.line import Line


def _some_line(system: System, chance: random.Random) -> tuple[str, Line]:
    """Return a line between clients and an API, an API and Postgres, or a worker and Postgres."""
    lines = {f"clients to {a.name}": n for a, n in zip(system.apis, system.api_lines, strict=True)}
    lines |= {f"{name} to Postgres": line for name, line in system.postgres_lines.items()}
    name = chance.choice(sorted(lines))
    return name, lines[name]


async def cut_line(system: System, chance: random.Random) -> str:
    """Reset every connection, and reject new ones for a while."""
    name, line = _some_line(system, chance)
    line.cut()
    await asyncio.sleep(chance.uniform(0.2, 4))
    line.mend()
    return name


async def stall_line(system: System, chance: random.Random) -> str:
    """Stop the traffic without closing a connection, then resume it."""
    name, line = _some_line(system, chance)
    line.stall()
    await asyncio.sleep(chance.choice((0.5, 2, 5, 9)))
    line.mend()
    return name


async def delay_line(system: System, chance: random.Random) -> str:
    """Delay all traffic."""
    name, line = _some_line(system, chance)
    delay_seconds = chance.choice((0.01, 0.05, 0.3))
    line.delay(delay_seconds)
    await asyncio.sleep(chance.uniform(1, 4))
    line.mend()
    return f"{name}, {delay_seconds * 1000:.0f} ms"


async def lose_answers(system: System, chance: random.Random) -> str:
    """Deliver requests, which are carried out, and drop the answers."""
    name, line = _some_line(system, chance)
    line.lose_answers()
    await asyncio.sleep(chance.uniform(0.2, 3))
    line.mend()
    return name


async def reset_connections(system: System, chance: random.Random) -> str:
    """Reset some connections in the middle of data, several times."""
    name, line = _some_line(system, chance)
    for _ in range(chance.randint(1, 8)):
        line.reset(chance.choice((0.3, 1.0)), chance)
        await asyncio.sleep(chance.uniform(0, 0.3))
    return name


async def half_close_connections(system: System, chance: random.Random) -> str:
    """Send FIN to clients while the other side still listens."""
    name, line = _some_line(system, chance)
    line.half_close(chance.choice((0.3, 1.0)), chance)
    await asyncio.sleep(chance.uniform(0.2, 2))
    return name
