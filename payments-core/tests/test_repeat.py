"""Repeated work goes on after failures, and an outage of the database is a warning."""

import asyncio
import logging

import asyncpg
import pytest

from payments_core.repeat import every


async def test_work_is_repeated_whatever_fails(caplog: pytest.LogCaptureFixture) -> None:
    missing = asyncpg.UndefinedTableError('relation "recon_jobs" does not exist')
    outcomes = iter([ConnectionRefusedError("no server"), missing, ValueError("a bug"), None])
    done = asyncio.Event()

    async def work() -> None:
        failure = next(outcomes)
        if failure:
            raise failure
        done.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(every(0, work, "pruning_failed"))
    await asyncio.wait_for(done.wait(), 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    outage, rollout, bug = caplog.records
    assert (outage.message, outage.levelno, outage.exc_info) == (
        "pruning_failed",
        logging.WARNING,
        None,
    )
    assert vars(outage)["error"] == "ConnectionRefusedError: no server"
    assert (rollout.levelno, rollout.exc_info) == (logging.WARNING, None)
    assert (bug.message, bug.levelno) == ("pruning_failed", logging.ERROR)
    assert vars(bug)["error"] == "ValueError: a bug"
    assert bug.exc_info
