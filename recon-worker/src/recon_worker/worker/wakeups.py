"""When a lane that found nothing looks again: woken by a notice, and by a poll behind it."""

import asyncio
from contextlib import suppress
from time import monotonic

from payments_core.db.listen import listen
from payments_core.queue.jobs import JOBS_CHANNEL
from payments_core.server.options import Lifecycle
from recon_worker.settings import WorkerSettings

# After jobs were put back no notice tells when they are due: most are within this time.
RESTLESS_SECONDS = 5.0


class Polling:
    """All lanes' waiting for work."""

    def __init__(self, settings: WorkerSettings, lifecycle: Lifecycle) -> None:
        self.listening = False
        self._settings = settings
        self._lifecycle = lifecycle
        self._woken = asyncio.Event()
        self._restless_until = 0.0

    def wake(self) -> None:
        """Let a lane that sleeps look now."""
        self._woken.set()

    def be_restless(self) -> None:
        """Poll as without LISTEN for a while: jobs were put back that will be due soon."""
        self._restless_until = monotonic() + RESTLESS_SECONDS

    def slower(self, seconds: float) -> float:
        """How long to sleep after a sleep of `seconds` for nothing."""
        # With LISTEN at work the poll is only what stands behind it.
        if self.listening and monotonic() >= self._restless_until:
            return self._settings.poll_seconds_listening
        return min(seconds * 2, self._settings.poll_seconds_max)

    async def sleep(self, seconds: float) -> None:
        """Until woken, or for `seconds`; not at all once draining."""
        if self._lifecycle.draining:
            return  # Another lane may have used up the wake-up that came with the stop.
        with suppress(TimeoutError):
            # Not wait_for: before Python 3.12 it may swallow a cancellation.
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    async def listen(self, dsn: str) -> None:
        """Be woken by notices, for as long as this is not cancelled."""

        def connected() -> None:
            self.listening = True
            self.wake()

        def lost() -> None:
            self.listening = False
            self.wake()  # Look whether Postgres is there, and poll again.

        await listen(
            dsn,
            JOBS_CHANNEL,
            lambda _payload: self.wake(),
            connected,
            "recon-worker-listen",
            lost,
        )
