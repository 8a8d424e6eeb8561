"""Fail the test that leaks a resource, by its own name.

Python reports a forgotten exception, coroutine, task or socket when the garbage collector finds it,
usually during some later test. Warnings (never-awaited coroutines, open sockets, transports and
connections) are errors by pytest's settings; asyncio's log is read here.
"""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from payments_core.cli.program import GC_YOUNG_OBJECTS

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


@contextmanager
def _collected() -> Iterator[None]:
    """Collect garbage after the block, and fail on asyncio's reports since its beginning."""
    logger, leaks = logging.getLogger("asyncio"), _Leaks()
    logger.addHandler(leaks)
    try:
        yield
        gc.collect()
    finally:
        logger.removeHandler(leaks)
    if leaks.lines:
        pytest.fail("\n".join(["the test leaked:", *leaks.lines]), pytrace=False)


def pytest_configure() -> None:
    """Collect garbage seldom, for speed: each test ends with a collection."""
    gc.set_threshold(GC_YOUNG_OBJECTS, 20, 20)


def pytest_collection_finish() -> None:
    """Exclude imported objects and pytest's items from every later collection, for speed."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """At the end of a file, check its fixtures, then exclude what it leaves: caches, reports.

    Not earlier, since a leak of the file's own fixtures would no longer be found.
    """
    if nextitem is not None and nextitem.path == item.path:
        yield
        return
    with _collected():
        yield
    gc.freeze()


@pytest.fixture(autouse=True)
def _fail_on_leaks() -> Iterator[None]:
    """Check each test and its own fixtures."""
    with _collected():
        yield
