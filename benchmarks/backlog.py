"""Our workers on a backlog of payments."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.databases import fill, until_false
from benchmarks.processes import running_worker

UNSETTLED = "SELECT EXISTS (SELECT FROM recon_jobs WHERE status <> 'completed')"


def settle_backlog(
    url: str, workers: int, jobs: int, accounts: int, *, reversals: bool = False
) -> float:
    """Add `jobs` payments while the workers sleep; return the seconds until all are settled.

    With `reversals`, a third of the jobs are of reversals.
    """
    reversed_ = jobs // 3 if reversals else 0
    with ExitStack() as stack:
        started = [stack.enter_context(running_worker(url)) for _ in range(workers)]
        if reversals:
            asyncio.run(fill(url, reversed_, accounts))
            asyncio.run(until_false(url, UNSETTLED))
        # Started before the backlog exists, so that their start is not measured.
        with _asleep([worker.pid for worker in started]) as wake:
            asyncio.run(fill(url, jobs - reversed_, accounts, reversals=reversals))
            begun = time.perf_counter()
            wake()
            asyncio.run(until_false(url, UNSETTLED))
            return time.perf_counter() - begun


@contextmanager
def _asleep(pids: list[int]) -> Iterator[Callable[[], None]]:
    def wake() -> None:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield wake
    finally:
        wake()
