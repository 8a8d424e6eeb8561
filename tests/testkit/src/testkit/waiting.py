"""Bounded waits for conditions."""

import asyncio
from collections.abc import Awaitable, Callable

# A bound for failures only: a passing test waits much less, however busy the machine is.
WAIT_SECONDS_MAX = 45.0
# A process of low priority, such as a statement's import, gets a tenth of a busy machine.
LOW_PRIORITY_SECONDS_MAX = 120.0
LOOK_SECONDS = 0.02


async def until(
    condition: Callable[[], Awaitable[object]], seconds: float = WAIT_SECONDS_MAX
) -> None:
    """Return when the condition is true. Raises TimeoutError if it stays false."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(LOOK_SECONDS)
