"""The state of the system, on the operators' page and in the header of every page."""

from typing import Any

import httpx2
import pytest

from payments_ui.app import create_app
from payments_ui.settings import Settings
from testkit.sign_in.page_browser import SECRET, app_with, password_app

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


async def _page(
    path: str, workers: list[dict[str, Any]], failed: int = 0, more: dict[str, Any] | None = None
) -> str:
    def answer(request: httpx2.Request) -> httpx2.Response:
        answers = {
            "/workers": {"workers": workers},
            "/jobs/stats": QUEUE | {"failed": failed, "failedCapped": failed >= 1000},
            "/jobs": {"jobs": [], "nextCursor": None},
            "/operator-actions": {"actions": [], "nextCursor": None},
            "/audit": {"checkedAt": None, "invariants": []},
            **(more or {}),
        }
        known = answers.get(request.url.path)
        return httpx2.Response(503) if known is None else httpx2.Response(200, json=known)

    settings = Settings(secret_key=SECRET)  # type: ignore[arg-type]  # A str is coerced.
    app = create_app(settings, transport=httpx2.MockTransport(answer))
    response = await app.test_client().get(path)
    assert response.status_code == 200
    return str(await response.get_data(as_text=True))


@pytest.mark.parametrize("workers", [[], [_worker("gone-1", alive=False)]])
async def test_every_page_reports_that_no_worker_is_alive(workers: list[dict[str, Any]]) -> None:
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


async def test_pages_that_are_not_live_warn_too() -> None:
    assert 'hx-get="/operate/attention"' in await _page("/operate/replay", [])
    app = password_app()
    signed_out = await (await app.test_client().get("/sign-in")).get_data(as_text=True)
    assert "/operate/attention" not in signed_out


async def test_an_unreachable_api_is_not_reported_as_a_missing_worker() -> None:
    response = await app_with().test_client().get("/operate/attention")
    text = await response.get_data(as_text=True)
    assert response.status_code == 200
    assert "No worker" not in text
    assert "nav-count" not in text


async def test_open_pages_request_only_what_they_show() -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return httpx2.Response(503)

    settings = Settings(secret_key=SECRET)  # type: ignore[arg-type]  # A str is coerced.
    app = create_app(settings, transport=httpx2.MockTransport(answer))
    assert (await app.test_client().get("/operate/attention")).status_code == 200
    assert sorted(asked) == ["/jobs/stats", "/workers"]


BROKEN = {
    "name": "settled_once",
    "title": "settled once",
    "description": "A payment settles once",
    "ok": False,
    "offending": 30,
    "offenders": [
        {"paymentId": "01a2-7f", "accountId": None, "currency": None, "jobId": None},
        {"paymentId": None, "accountId": "acme~a/b", "currency": "EUR", "jobId": 7},
    ],
}


async def test_a_broken_invariant_links_to_its_runbook_and_its_rows() -> None:
    audit = {"checkedAt": SEEN, "mode": "full", "invariants": [BROKEN]}
    page = await _page("/operate", [], more={"/audit": audit})
    assert "A payment settles once." in page
    assert "30 violations" in page
    assert 'class="tile tile-bad" href="#audit-title"' in page
    assert 'href="/payments/01a2-7f"' in page
    assert 'href="/accounts/acme~a/b?currency=EUR"' in page
    assert "The first 2 of 30" in page
    assert "docs/runbooks/ledger-invariant-broken.md" in page


@pytest.mark.parametrize(
    ("seal", "shown"),
    [
        ({}, "no seal yet"),
        ({"headSeq": 4, "headHash": "ab" * 32, "sealedAt": SEEN}, "no. 4"),
        (
            {"unsealedEntries": 1200, "unsealedAgeSeconds": 3.5},
            "1,200 entries, the oldest entry or result for 3.5",
        ),
        ({"unsealedAgeSeconds": 3.5}, "0 entries, the oldest entry or result for 3.5"),
        ({"problem": "entry 5 was changed", "problemAt": SEEN}, "entry 5 was changed"),
    ],
)
async def test_the_seals_state_is_shown(seal: dict[str, Any], shown: str) -> None:
    empty = dict.fromkeys(("headHash", "sealedAt", "unsealedAgeSeconds", "verifiedAt"))
    empty |= dict.fromkeys(("passCompletedAt", "problem", "problemSeq", "problemAt"))
    counts = {"headSeq": 0, "signed": False, "unsealedEntries": 0, "verifiedSeq": 0}
    assert shown in await _page("/operate", [], more={"/seal": counts | empty | seal})
