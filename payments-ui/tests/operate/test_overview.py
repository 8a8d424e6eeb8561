"""The state of the system, on the operators' page and at the head of every page."""

from typing import Any

import httpx2
import pytest

from payments_ui.app import create_app
from payments_ui.settings import Settings
from testkit.sign_in.page_browser import SECRET, app_with

SEEN = "2026-11-22T20:00:00Z"
QUEUE = {
    "pending": 4,
    "processing": 1,
    "failed": 0,
    "pendingCapped": False,
    "processingCapped": False,
    "failedCapped": False,
    "oldestReadyAgeSeconds": 2.5,
}


def _worker(name: str, *, alive: bool) -> dict[str, Any]:
    known = {"id": name, "host": "h", "version": "1.0", "startedAt": SEEN, "seenAt": SEEN}
    return known | {"alive": alive, "heldJobs": 0, "oldestLeaseUntil": None, "completedTotal": 9}


async def _page(path: str, workers: list[dict[str, Any]], failed: int = 0) -> str:
    def answer(request: httpx2.Request) -> httpx2.Response:
        answers = {
            "/workers": {"workers": workers},
            "/jobs/stats": QUEUE | {"failed": failed, "failedCapped": failed >= 1000},
            "/jobs": {"jobs": [], "nextCursor": None},
            "/operator-actions": {"actions": [], "nextCursor": None},
            "/audit": {"checkedAt": None, "invariants": []},
        }
        known = answers.get(request.url.path)
        return httpx2.Response(503) if known is None else httpx2.Response(200, json=known)

    settings = Settings(secret_key=SECRET)  # type: ignore[arg-type]
    app = create_app(settings, transport=httpx2.MockTransport(answer))
    response = await app.test_client().get(path)
    assert response.status_code == 200
    return str(await response.get_data(as_text=True))


@pytest.mark.parametrize("workers", [[], [_worker("gone-1", alive=False)]])
async def test_every_page_says_that_no_worker_is_alive(workers: list[dict[str, Any]]) -> None:
    assert "No worker is alive." in await _page("/operate/attention", workers)
    page = await _page("/operate", workers)
    assert 'class="tile tile-bad" href="#workers-title"' in page
    assert page.count("gone-1") == len(workers)


async def test_one_living_worker_is_enough() -> None:
    workers = [_worker("gone-1", alive=False), _worker("here-1", alive=True)]
    assert "No worker" not in await _page("/operate/attention", workers)
    page = await _page("/operate", workers)
    assert "tile-bad" not in page
    folded = page.index('id="gone-workers"')
    assert page.index("here-1") < folded < page.index("gone-1")


@pytest.mark.parametrize(
    ("failed", "shown"),
    [
        (1, '1<span class="sr-only"> dead letter<'),
        (1000, '1,000+<span class="sr-only"> dead letters<'),
    ],
)
async def test_the_navigation_counts_dead_letters(failed: int, shown: str) -> None:
    assert shown in await _page("/operate/attention", [_worker("w", alive=True)], failed)


async def test_an_api_that_is_away_is_no_missing_worker() -> None:
    response = await app_with().test_client().get("/operate/attention")
    text = await response.get_data(as_text=True)
    assert response.status_code == 200
    assert "No worker" not in text
    assert "nav-count" not in text


async def test_open_pages_ask_for_no_more_than_they_show() -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return httpx2.Response(503)

    settings = Settings(secret_key=SECRET)  # type: ignore[arg-type]
    app = create_app(settings, transport=httpx2.MockTransport(answer))
    assert (await app.test_client().get("/operate/attention")).status_code == 200
    assert sorted(asked) == ["/jobs/stats", "/workers"]
