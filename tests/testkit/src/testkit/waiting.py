"""Wait for something that happens by itself, and never for longer than it may take."""

import asyncio
from collections.abc import Awaitable, Callable

WAIT_SECONDS_MAX = 20.0
LOOK_SECONDS = 0.02


async def until(
    condition: Callable[[], Awaitable[bool]], seconds: float = WAIT_SECONDS_MAX
) -> None:
    """Return when the condition is true. Raises TimeoutError when it does not become so."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(LOOK_SECONDS)
