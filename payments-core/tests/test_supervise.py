"""No background task of a service ends unnoticed."""

import asyncio

import pytest

from payments_core.server.options import Lifecycle
from payments_core.supervise import Supervisor


async def _end() -> None:
    await asyncio.sleep(0)


async def _fail() -> None:
    raise RuntimeError("a bug")


async def _cancelled() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("work", [_end, _fail, _cancelled])
async def test_the_end_of_a_task_stops_the_service(
    work: object, caplog: pytest.LogCaptureFixture
) -> None:
    lifecycle = Lifecycle()
    tasks = Supervisor(lifecycle)
    tasks.start("feed", work())  # type: ignore[operator]  # Each case is a coroutine function.
    await asyncio.wait_for(lifecycle.stopping.wait(), 1)
    assert lifecycle.failure == "feed"
    (record,) = caplog.records
    assert (record.message, vars(record)["task"]) == ("background_task_ended", "feed")
    assert bool(record.exc_info) == (work is _fail)


async def test_an_error_while_the_service_stops_is_a_failure_too() -> None:
    lifecycle = Lifecycle()
    lifecycle.stopping.set()
    tasks = Supervisor(lifecycle)
    await asyncio.wait({tasks.start("lane", _fail())})
    assert lifecycle.failure == "lane"


async def test_tasks_that_end_with_the_service_are_no_failure() -> None:
    lifecycle = Lifecycle()
    tasks = Supervisor(lifecycle)
    tasks.start("feed", asyncio.Event().wait())  # type: ignore[arg-type]  # Never ends.
    ending = tasks.start("lane", lifecycle.stopping.wait())  # type: ignore[arg-type]  # Ends, as the test needs.
    lifecycle.stopping.set()
    await asyncio.wait({ending})
    await tasks.stop()
    assert lifecycle.failure is None


async def test_the_first_failure_is_named() -> None:
    lifecycle = Lifecycle()
    tasks = Supervisor(lifecycle)
    await asyncio.wait({tasks.start("first", _fail())})
    await asyncio.wait({tasks.start("second", _fail())})
    assert lifecycle.failure == "first"
