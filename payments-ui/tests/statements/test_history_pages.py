"""Pages of matches and resolved breaks: what they ask for and show."""

from typing import Any

import httpx2
import pytest
from quart.typing import TestClientProtocol

from payments_ui.app import create_app
from payments_ui.settings import Settings
from testkit.sign_in.page_browser import SECRET

SOURCE = {"name": "bank", "accountIdentifier": "DE1", "currency": "EUR", "channel": "default"}
MATCH = {
    "id": "5",
    "runId": None,
    "rule": "manual",
    "score": 100,
    "why": "two <invoices>",
    "actor": "ann",
    "createdAt": "2026-11-27T10:00:00Z",
    "undoneAt": None,
    "undoneBy": None,
    "undoneReason": None,
    "amount": "7.00",
}
BREAK = {
    "id": "b1",
    "class": "bank_only",
    "side": "line",
    "itemId": "7",
    "amount": "-1.20",
    "currency": "EUR",
    "reference": None,
    "counterparty": None,
    "remittance": None,
    "bookedOn": "2026-11-23",
    "ageDays": 5,
    "assignee": None,
    "note": None,
    "whyNot": None,
    "resolvedAt": "2026-11-27T10:00:00Z",
    "resolvedBy": "ann",
}
LAST: dict[str, Any] = {"nextCursor": None, "previousCursor": None}


class Api:
    """Answers with one match and one resolved break, and keeps what it is asked for."""

    def __init__(self, *, nothing: bool = False, more: bool = False) -> None:
        self.asked: list[str] = []
        self._rows = not nothing
        self._page = {**LAST, "nextCursor": "n"} if more else LAST

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        path, query = request.url.path, request.url.query.decode()
        self.asked.append(f"{path}?{query}")
        answers: dict[str, Any] = {
            "/sources/bank": SOURCE,
            "/sources/bank/matches": {"matches": [MATCH] * self._rows, **self._page},
            "/sources/bank/breaks": {"breaks": [BREAK] * self._rows, **self._page},
            "/sources/bank/matches/5": {**MATCH, "lines": [{"id": "7"}], "entries": []},
        }
        if path not in answers:
            problem = {"status": 404, "code": "source_not_found", "title": "No source."}
            return httpx2.Response(404, json=problem)
        return httpx2.Response(200, json=answers[path])


def _client(api: Api) -> TestClientProtocol:
    settings = Settings(secret_key=SECRET)  # type: ignore[arg-type]  # A str is coerced.
    return create_app(settings, transport=httpx2.MockTransport(api.answer)).test_client()


async def _page(api: Api, path: str) -> str:
    answer = await _client(api).get(path)
    assert answer.status_code == 200
    text: str = await answer.get_data(as_text=True)
    return text


@pytest.mark.parametrize("status", ["active", "undone"])
async def test_the_page_of_matches_lists_them_by_status(status: str) -> None:
    api = Api()
    text = await _page(api, f"/statements/bank/matches?status={status}")
    assert any(f"status={status}" in each for each in api.asked if "/matches" in each)
    assert 'href="/statements/bank/matches/5"' in text
    assert "two &lt;invoices&gt;" in text
    assert "7.00" in text


async def test_a_match_leads_to_its_first_line() -> None:
    answer = await _client(Api()).get("/statements/bank/matches/5")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/statements/bank/lines/7")


async def test_resolved_breaks_say_who_resolved_them_and_have_no_age_or_order() -> None:
    api = Api()
    text = await _page(api, "/statements/bank?status=resolved&sort=amount&age=0-1")
    (asked,) = (each for each in api.asked if each.startswith("/sources/bank/breaks"))
    assert "status=resolved" in asked
    assert "sort=" not in asked
    assert "age=" not in asked
    assert "by <bdi>ann</bdi>" in text
    assert "Line 7" in text
    assert 'aria-label="Age in days"' not in text


@pytest.mark.parametrize("path", ["matches", "matches?status=undone", "?status=resolved"])
async def test_an_empty_page_of_a_longer_list_leads_on(path: str) -> None:
    ended = await _page(Api(nothing=True), f"/statements/bank/{path}".replace("/?", "?"))
    assert "the next page looks further back" not in ended
    short = await _page(Api(nothing=True, more=True), f"/statements/bank/{path}".replace("/?", "?"))
    assert "the next page looks further back" in short
    assert "cursor=n" in short
