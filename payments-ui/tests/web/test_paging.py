"""Every list of the page leads to older rows and back to newer ones."""

import re
from typing import Any

import httpx2
import pytest

from payments_ui.app import create_app
from payments_ui.settings import Settings
from payments_ui.web.paging import page_at
from testkit.sign_in.page_browser import SECRET

AT = "2026-11-22T20:00:00Z"
JOB: dict[str, Any] = {
    "id": 7,
    "paymentId": "01a2-7f",
    "accountId": "a",
    "amount": "5.00",
    "currency": "USD",
}
JOB |= {"attempts": 10, "maxAttempts": 10, "updatedAt": AT}
ACTION: dict[str, Any] = {
    "id": 1,
    "action": "create",
    "actor": "ada",
    "keyName": None,
    "reason": "",
}
ACTION |= {"jobIds": [], "paymentId": "01a2-7f", "traceId": None, "createdAt": AT}
ENTRY: dict[str, Any] = {
    "id": 1,
    "paymentId": "01a2-7f",
    "reversalId": None,
    "accountSeq": 1,
    "createdAt": AT,
}
ENTRY |= {"direction": "credit", "amount": "5.00", "currency": "USD", "balanceAfter": "5.00"}
ACCOUNT = {"accountId": "a", "currency": "USD", "balance": "5.00"}
PAYMENT: dict[str, Any] = {"id": "01a2-7f", "accountId": "a", "amount": "5.00", "currency": "USD"}
PAYMENT |= {"status": "pending", "description": "", "createdAt": AT, "discrepancyAmount": None}
TOTALS = {"totals": [], "complete": True, "examinedMax": 9}
ROWS: dict[str, dict[str, Any]] = {
    "/jobs": {"jobs": [JOB]},
    "/operator-actions": {"actions": [ACTION]},
    "/accounts": {"accounts": [ACCOUNT]},
    "/accounts/a/entries": {"entries": [ENTRY]},
    "/payments": {"payments": [PAYMENT], "searchedUntil": None},
}
OTHERS: dict[str, dict[str, Any]] = {
    "/jobs/groups": {"groups": [], "incomplete": False},
    "/workers": {"workers": []},
    "/accounts/totals": TOTALS,
    "/payments/totals": TOTALS,
    "/accounts/a/currencies": {"currencies": ["USD"]},
    "/accounts/a/balance": {"balance": "5.00", "currency": "USD"},
    "/accounts/a/balance-history": {"points": [], "entries": 0},
}


async def _page(address: str, listed: str, cursors: dict[str, Any]) -> tuple[str, list[str]]:
    """Return the page, and the cursors with which the page read the list."""
    read: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        path, params = request.url.path, request.url.params
        others = path == "/payments" and ("accountId" not in params or "status" in params)
        if path == listed and not others:
            read.append(params.get("cursor", ""))
            return httpx2.Response(200, json=ROWS[path] | cursors[read[-1]])
        if path in ROWS:
            first = {"nextCursor": None, "previousCursor": None}
            return httpx2.Response(200, json=ROWS[path] | first)
        known = OTHERS.get(path)
        return httpx2.Response(503) if known is None else httpx2.Response(200, json=known)

    settings = Settings(secret_key=SECRET)  # type: ignore[arg-type]  # A str is coerced.
    app = create_app(settings, transport=httpx2.MockTransport(answer))
    response = await app.test_client().get(address)
    assert response.status_code == 200
    return str(await response.get_data(as_text=True)), read


LISTS = [
    ("/operate?range=60&group=e", "/jobs", ("Newer", "Older")),
    ("/activity?actor=ada", "/operator-actions", ("Newer", "Older")),
    ("/accounts?prefix=a", "/accounts", ("Previous", "Next")),
    ("/accounts/a?currency=USD", "/accounts/a/entries", ("Newer", "Older")),
    ("/?account=a", "/payments", ("Newer", "Older")),
]


@pytest.mark.parametrize(("address", "listed", "labels"), LISTS)
async def test_a_list_links_to_newer_and_older_rows(
    address: str, listed: str, labels: tuple[str, str]
) -> None:
    beside = {"here": {"nextCursor": "older", "previousCursor": "newer"}}
    page, read = await _page(f"{address}&cursor=here", listed, beside)
    assert read == ["here"]
    for label, rel, cursor in zip(labels, ("prev", "next"), ("newer", "older"), strict=True):
        link = re.search(rf'<a class="button" href="([^"]*)" rel="{rel}"[^>]*>(.*?)</a>', page)
        assert link is not None, rel
        assert re.sub(r"<svg.*?</svg>", "", link[2]) == label
        address_of_link = link[1].replace("&amp;", "&").partition("#")[0]
        assert address_of_link == f"{address}&cursor={cursor}"


@pytest.mark.parametrize(("address", "listed", "labels"), LISTS)
async def test_the_link_newer_ends_at_the_first_page(
    address: str, listed: str, labels: tuple[str, str]
) -> None:
    top = {"nextCursor": "older", "previousCursor": None}
    page, read = await _page(f"{address}&cursor=back", listed, {"back": top, "": top})
    assert read == ["back", ""]
    assert 'rel="next"' in page
    assert 'rel="prev"' not in page


async def test_a_list_of_an_older_api_keeps_its_place() -> None:
    async def read(cursor: str) -> dict[str, Any]:
        return {"nextCursor": None}

    assert await page_at("here", read) == ({"nextCursor": None}, "here")
