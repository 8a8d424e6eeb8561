"""Fail the test that leaks a resource, by its own name.

Python reports a forgotten exception, coroutine, task or socket when the garbage collector finds it,
usually during some later test. Warnings (never-awaited coroutines, open sockets, transports and
connections) are errors by pytest's settings; asyncio's log is read here.
"""

import gc
import logging
from collections.abc import Iterator

import pytest

LEAKS = ("never retrieved", "was destroyed but it is pending")


class _Leaks(logging.Handler):
    """Keeps asyncio's log lines about forgotten exceptions and tasks."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        if any(leak in said for leak in LEAKS):
            error = record.exc_info[1] if record.exc_info else None
            self.lines.append(f"{said} {error!r}")


def _freeze_what_lives() -> None:
    """Exclude today's live objects from every later collection, which makes it fast."""
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    """Freeze what was imported, and pytest's items."""
    _freeze_what_lives()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Freeze what a file leaves behind on purpose: caches, reports, the session's fixtures.

    Not earlier, since a leak of the file's own fixtures would no longer be found.
    """
    yield
    if nextitem is None or nextitem.path != item.path:
        _freeze_what_lives()


@pytest.fixture(autouse=True)
def _fail_on_leaks() -> Iterator[None]:
    """Collect garbage after the test and its fixtures, and fail on asyncio's reports."""
    logger, leaks = logging.getLogger("asyncio"), _Leaks()
    logger.addHandler(leaks)
    try:
        yield
        gc.collect()
    finally:
        logger.removeHandler(leaks)
    if leaks.lines:
        pytest.fail("\n".join(["the test leaked:", *leaks.lines]), pytrace=False)
