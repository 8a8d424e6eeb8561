"""Bounded waits for conditions."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

# A bound for failures only: a passing test waits much less, however busy the machine is.
WAIT_SECONDS_MAX = 45.0
# A process of low priority, such as a statement's import, gets a tenth of a busy machine.
LOW_PRIORITY_SECONDS_MAX = 120.0
PAUSE_SECONDS, PAUSE_SECONDS_MAX, PAUSE_GROWS = 0.01, 0.05, 1.5  # Some states are brief.


def pauses() -> Iterator[float]:
    """Yield the seconds between looks: short at first, since a long wait should cost little."""
    seconds = PAUSE_SECONDS
    while True:
        yield seconds
        seconds = min(PAUSE_SECONDS_MAX, seconds * PAUSE_GROWS)


async def until(
    condition: Callable[[], Awaitable[object]], seconds: float = WAIT_SECONDS_MAX
) -> None:
    """Return when the condition is true. Raises TimeoutError if it stays false."""
    async with asyncio.timeout(seconds):
        for pause in pauses():
            if await condition():
                return
            await asyncio.sleep(pause)
