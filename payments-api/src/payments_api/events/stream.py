"""One reader's event stream, as text."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from payments_api.events.feed import EventFeed
from payments_api.events.reader import Reader


async def event_stream(
    feed: EventFeed,
    reader: Reader,
    last_event_id: str | None,
    over: Callable[[], Coroutine[Any, Any, None]],
    heartbeat_seconds: float,
) -> AsyncGenerator[str, None]:
    """Yield the text of a stream until its reader is too slow, or `over` returns."""
    async with feed.registered(reader, last_event_id):
        # Text at once, so that proxies and readers notice that the stream is open.
        yield "retry: 1000\n: connected\n\n"
        stopped = asyncio.create_task(over())
        try:
            async with aclosing(_follow(reader, stopped, heartbeat_seconds)) as texts:
                async for text in texts:
                    yield text
        finally:
            stopped.cancel()


async def _follow(
    reader: Reader, stopped: asyncio.Task[None], heartbeat_seconds: float
) -> AsyncGenerator[str, None]:
    while not reader.dropped:
        woken = asyncio.create_task(reader.wake.wait())
        try:
            done, _ = await asyncio.wait(
                {woken, stopped}, timeout=heartbeat_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            woken.cancel()  # Also where a client that left cancels this wait.
        if stopped in done:
            return
        reader.wake.clear()
        if not done:
            yield ": still here\n\n"
            continue
        texts = [event.as_text(reader.tenant) for event in reader.waiting]
        reader.waiting.clear()
        if texts:
            yield "".join(texts)
