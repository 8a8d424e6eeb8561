"""When an idle lane claims again: on a notification, with polling as the fallback."""

import asyncio
from contextlib import suppress
from time import monotonic

from payments_core.db.listen import listen
from payments_core.queue.jobs import JOBS_CHANNEL
from payments_core.server.options import Lifecycle
from recon_worker.settings import WorkerSettings

# No notification announces when a returned job is due; most are due within this time.
EAGER_SECONDS = 5.0


class Polling:
    """The waits of all lanes."""

    def __init__(self, settings: WorkerSettings, lifecycle: Lifecycle) -> None:
        self.listening = False
        self._settings = settings
        self._lifecycle = lifecycle
        self._woken = asyncio.Event()
        self._eager_until = 0.0

    def wake(self) -> None:
        """Wake a sleeping lane."""
        self._woken.set()

    def poll_eagerly(self) -> None:
        """Poll as without LISTEN for a while, because returned jobs are due soon."""
        self._eager_until = monotonic() + EAGER_SECONDS

    def next_interval(self, seconds: float) -> float:
        """Return how long to sleep after a sleep of `seconds` that found no job."""
        # While LISTEN works, polling is only the fallback.
        if self.listening and monotonic() >= self._eager_until:
            return self._settings.poll_fallback_seconds
        return min(seconds * 2, self._settings.poll_seconds_max)

    async def sleep(self, seconds: float) -> None:
        """Sleep until woken, at most `seconds`; return at once while draining."""
        if self._lifecycle.draining:
            return  # Another lane may have consumed the wake-up of the stop.
        with suppress(TimeoutError):
            # Not wait_for: before Python 3.12 it may swallow a cancellation.
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    async def listen(self, dsn: str) -> None:
        """Wake lanes on notifications until cancelled."""

        def connected() -> None:
            self.listening = True
            self.wake()

        def lost() -> None:
            self.listening = False
            self.wake()  # Find out whether Postgres is there, and poll.

        await listen(
            dsn,
            JOBS_CHANNEL,
            lambda _payload: self.wake(),
            connected,
            "recon-worker-listen",
            lost,
        )
