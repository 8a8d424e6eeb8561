"""The search finds payments and accounts, and never shows an account that does not exist."""

from typing import Any
from uuid import UUID

import httpx2
import pytest

from payments_ui.app import create_app
from payments_ui.settings import Settings
from payments_ui.web.formatting import short_id
from testkit.sign_in.page_browser import SECRET

OLDER, NEWER = "0193a000-0000-7000-8000-00000abcdef1", "0193b000-0000-7000-8000-0000abcdef12"


def _payment(payment_id: str, **more: Any) -> dict[str, Any]:
    return {
        "id": payment_id,
        "accountId": "acme",
        "amount": "5.00",
        "currency": "USD",
        "description": "",
        "reference": None,
        "metadata": {},
        "source": "default",
        "status": "pending",
        "createdAt": "2026-11-22T20:00:00Z",
        "settledAt": None,
        "discrepancyAmount": None,
        **more,
    }


PAYMENTS = [
    _payment(NEWER, reference="INV-7", description="Rent of May"),
    _payment(OLDER, reference="INV-7", description="Rent of April", amount="7.50"),
]


def _passes(payment: dict[str, Any], params: dict[str, str]) -> bool:
    return (
        params.get("reference", payment["reference"]) == payment["reference"]
        and params.get("idempotencyKey", "order-77") == "order-77"
        and ("idempotencyKey" not in params or payment["id"] == NEWER)
        and payment["id"].startswith(params.get("idPrefix", ""))
        and payment["id"].endswith(params.get("idSuffix", ""))
        and params.get("description", "").lower() in payment["description"].lower()
        and float(params.get("amount", payment["amount"])) == float(payment["amount"])
    )


def answer(request: httpx2.Request) -> httpx2.Response:
    """Answer as an API with two payments and two accounts, invalid parameters included."""
    params = dict(request.url.params)
    path = request.url.path
    if path == "/accounts":
        names = [name for name in ("acme", "acme-gmbh") if name.startswith(params["prefix"])]
        accounts = [{"accountId": each, "currency": "USD", "balance": "1.00"} for each in names]
        page = {"accounts": accounts, "nextCursor": None, "previousCursor": None}
        return httpx2.Response(200, json=page)
    if path == "/payments":
        found = [each for each in PAYMENTS if _passes(each, params)]
        searched = {"description", "amount"} & params.keys()
        listed = {
            "payments": found,
            "nextCursor": "older" if searched else None,
            "previousCursor": None,
            "searchedUntil": "2026-11-01T00:00:00Z" if searched else None,
        }
        return httpx2.Response(200, json=listed)
    return httpx2.Response(404, json={"code": "payment_not_found", "title": "", "status": 404})


async def _search(text: str) -> tuple[int, str, str]:
    settings = Settings(secret_key=SECRET)  # type: ignore[arg-type]  # A str is coerced.
    app = create_app(settings, transport=httpx2.MockTransport(answer))
    response = await app.test_client().get("/search", query_string={"q": text})
    page = await response.get_data(as_text=True)
    return response.status_code, response.headers.get("Location", ""), str(page)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("order-77", f"/payments/{NEWER}"),
        (short_id(NEWER), f"/payments/{NEWER}"),
        (short_id(NEWER).upper().replace("…", "..."), f"/payments/{NEWER}"),
        (NEWER[:8], f"/payments/{NEWER}"),
        (NEWER[:20], f"/payments/{NEWER}"),
        ("  acme-g ", "/accounts/acme-gmbh"),
        ("", "/"),
    ],
)
async def test_a_single_result_is_opened(text: str, address: str) -> None:
    assert (await _search(text))[:2] == (303, address)


async def test_several_results_are_listed() -> None:
    status, _, page = await _search("INV-7")
    assert status == 200
    assert page.index(NEWER) < page.index(OLDER)
    status, _, page = await _search("acm")
    assert '/accounts/acme"' in page.replace("?currency=USD", "")
    assert "acme-gmbh" in page


@pytest.mark.parametrize(
    ("text", "found", "not_found"),
    [
        ("rent", [NEWER, OLDER], []),
        ("of may", [NEWER], [OLDER]),
        ("7,50", [OLDER], [NEWER]),
        ("5.00", [NEWER], [OLDER]),
    ],
)
async def test_results_by_description_or_amount_state_how_far_back_they_go(
    text: str, found: list[str], not_found: list[str]
) -> None:
    status, _, page = await _search(text)
    assert status == 200
    assert all(each in page for each in found)
    assert not any(each in page for each in not_found)
    assert "Searched back to" in page
    assert "2026-11-01 00:00:00 UTC" in page


async def test_a_search_without_a_result_can_continue_in_older_payments() -> None:
    _, _, page = await _search("no such text")
    assert "Nothing found" in page
    assert '/?description=no+such+text&amp;cursor=older"' in page


@pytest.mark.parametrize(
    "text", ["no such thing!", "acne", "deadbeef", str(UUID(int=7)), "x" * 300, "<b>", "a b"]
)
async def test_an_unknown_id_is_not_an_account(text: str) -> None:
    status, _, page = await _search(text)
    assert status == 200
    assert "Nothing found" in page
    assert 'amount-figure">0.00' not in page
    assert '“<span class="mono"><b>' not in page
