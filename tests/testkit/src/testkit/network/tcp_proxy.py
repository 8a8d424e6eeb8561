"""A `Line` that runs in its own thread, for tests that do not run an event loop."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

from testkit.network.line import Line


class TcpProxy:
    """Forwards connections to `port` to another port, both on 127.0.0.1, until `close`."""

    def __init__(self, target_port: int) -> None:
        self._line = Line(target_port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._await(self._line.open)
        self.port = self._line.port

    def cut(self) -> None:
        """Reset every connection, and every new one when it is opened."""
        self._call(self._line.cut)

    def stall(self) -> None:
        """Forward nothing and close nothing, as a silent network does."""
        self._call(self._line.stall)

    def delay_answers(self, seconds: float) -> None:
        """Forward each chunk from the target after a delay."""
        self._call(lambda: self._line.delay(seconds, answers_only=True))

    def lead_to(self, target_port: int) -> None:
        """Forward new connections to another port; open ones keep theirs."""
        self._line.target_port = target_port

    def mend(self) -> None:
        """End the disturbance."""
        self._call(self._line.mend)

    def close(self) -> None:
        """Stop listening and end every connection."""
        self._await(self._line.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, change: Callable[[], None]) -> None:
        async def call() -> None:
            change()

        self._await(call)

    def _await(self, work: Callable[[], Awaitable[None]]) -> None:
        async def awaited() -> None:
            await work()

        asyncio.run_coroutine_threadsafe(awaited(), self._loop).result(10)
