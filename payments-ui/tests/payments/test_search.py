"""The search finds what its text names, and never makes up an account."""

from typing import Any
from uuid import UUID

import httpx2
import pytest

from payments_ui.app import create_app
from payments_ui.settings import Settings
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


BY_REFERENCE = [_payment(NEWER, reference="INV-7"), _payment(OLDER, reference="INV-7")]


def answer(request: httpx2.Request) -> httpx2.Response:
    """An API with two payments and two accounts; it refuses what it would refuse."""
    params = dict(request.url.params)
    path = request.url.path
    if path == "/accounts":
        names = [name for name in ("acme", "acme-gmbh") if name.startswith(params["prefix"])]
        accounts = [{"accountId": each, "currency": "USD", "balance": "1.00"} for each in names]
        return httpx2.Response(200, json={"accounts": accounts, "nextCursor": None})
    if path == "/payments":
        found = BY_REFERENCE
        if "reference" in params:
            found = [each for each in found if each["reference"] == params["reference"]]
        if "idempotencyKey" in params:
            found = found[:1] if params["idempotencyKey"] == "order-77" else []
        return httpx2.Response(200, json={"payments": found, "nextCursor": None})
    return httpx2.Response(404, json={"code": "payment_not_found", "title": "", "status": 404})


async def _search(text: str) -> tuple[int, str, str]:
    settings = Settings(secret_key=SECRET)  # type: ignore[arg-type]
    app = create_app(settings, transport=httpx2.MockTransport(answer))
    response = await app.test_client().get("/search", query_string={"q": text})
    page = await response.get_data(as_text=True)
    return response.status_code, response.headers.get("Location", ""), str(page)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("order-77", f"/payments/{NEWER}"),
        (NEWER[-8:], f"/payments/{NEWER}"),
        (NEWER[-8:].upper(), f"/payments/{NEWER}"),
        ("  acme-g ", "/accounts/acme-gmbh"),
        ("", "/"),
    ],
)
async def test_the_only_result_is_shown_at_once(text: str, address: str) -> None:
    assert (await _search(text))[:2] == (303, address)


async def test_several_results_are_listed() -> None:
    status, _, page = await _search("INV-7")
    assert status == 200
    assert page.index(NEWER) < page.index(OLDER)
    status, _, page = await _search("acm")
    assert '/accounts/acme"' in page.replace("?currency=USD", "")
    assert "acme-gmbh" in page


@pytest.mark.parametrize(
    "text", ["no such thing!", "acne", "deadbeef", str(UUID(int=7)), "x" * 300, "<b>", "a b"]
)
async def test_a_typo_is_no_account(text: str) -> None:
    status, _, page = await _search(text)
    assert status == 200
    assert "Nothing found" in page
    assert "0.00" not in page
    assert '“<span class="mono"><b>' not in page
