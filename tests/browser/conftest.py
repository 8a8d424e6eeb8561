"""A real browser, page, API, worker and Postgres."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from testkit.browser.chromium import Visitor, find_chromium, launched_chromium
from testkit.browser.whole_system import WholeSystem, whole_system


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that need a browser; without one, skip them unless it is required."""
    folder = Path(__file__).parent
    required = "browser" in os.environ.get("REQUIRE", "").split(",")
    missing = find_chromium() is None and not required
    for item in items:
        if folder in item.path.parents and "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)
            if missing:
                reason = "no Chromium on PATH (in Debian, the package chromium-headless-shell)"
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSystem]:
    """Run the system once; a test that stops a part restarts it."""
    with whole_system(tmp_path_factory.mktemp("system")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Launch one for each module: Playwright's own event loop must not outlive it."""
    executable = find_chromium()
    assert executable is not None, "REQUIRE=browser, and there is no Chromium on PATH"
    with sync_playwright() as playwright, launched_chromium(playwright, executable) as launched:
        yield launched


@pytest.fixture
def visit(browser: Browser, system: WholeSystem) -> Iterator[Callable[..., Visitor]]:
    """Return a function that opens the page as a visitor; fail on blocked or failed requests."""
    visitors: list[Visitor] = []

    def make(**options: object) -> Visitor:
        visitor = Visitor(browser, system.url, **options)
        visitors.append(visitor)
        return visitor

    yield make
    for visitor in visitors:
        visitor.close()
    for visitor in visitors:
        assert not visitor.violations, visitor.violations


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    """Return one visitor with a desktop-size window."""
    return visit()
