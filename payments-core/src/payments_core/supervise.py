"""Supervision of a service's background tasks: none of them ends unnoticed.

A service whose writer, feed or listener has died still answers, with stale data or not at all. So
the end of any task, with or without an exception, stops the service.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from payments_core.server.options import Lifecycle

log = logging.getLogger(__name__)


class Supervisor:
    """The background tasks of one service, each with a name.

    When one ends before the service stops, or raises at any time: its traceback is logged with its
    name, readiness fails, and the process drains and exits with a non-zero status.
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._tasks: set[asyncio.Task[None]] = set()
        self._cancelling = False

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run `work` as the task of this name."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def stop(self) -> None:
        """Cancel the tasks that still run, and wait for their end."""
        self._cancelling = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        expected = self._cancelling if task.cancelled() else self._lifecycle.draining
        if error is None and expected:
            return
        log.critical("background_task_ended", exc_info=error, extra={"task": task.get_name()})
        self._lifecycle.fail(task.get_name())
