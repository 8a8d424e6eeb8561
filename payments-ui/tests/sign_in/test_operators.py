"""The page names the signed-in user to the API, and no request can name another."""

import json
import re

import httpx2

from payments_core.domain.statuses import OPERATOR_ACTIONS
from payments_ui.app import create_app
from payments_ui.settings import Settings
from testkit.sign_in.page_browser import HASH, SECRET, Browser

PAYMENT = {"id": "p", "accountId": "a", "amount": "5.00", "currency": "USD", "status": "pending"}
PAYMENT |= {"description": "", "createdAt": "2026-11-22T20:00:00Z"}
RECORD = {"id": 1, "action": "create", "actor": "ada <b>", "keyName": "page", "reason": ""}
RECORD |= {"jobIds": [], "paymentId": "p" * 36, "traceId": "t" * 32}
RECORD |= {"createdAt": "2026-11-22T20:00:00Z"}


async def test_the_api_receives_the_operators_name() -> None:
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        if request.url.path == "/operator-actions":
            return httpx2.Response(200, json={"actions": [RECORD], "nextCursor": "older"})
        return httpx2.Response(201, json=PAYMENT if request.url.path == "/payments" else {"id": 7})

    given = {"sign_in": "password", "password_hash": HASH, "password_user": "Ada Löv"}
    settings = Settings(**{"secret_key": SECRET, **given})  # type: ignore[arg-type]  # Values of several types.
    browser = Browser(create_app(settings, transport=httpx2.MockTransport(answer)).test_client())
    await browser.sign_in(user="Ada Löv")
    paid = await browser.send("/payments", "/operate/replay", accountId="a", amount="5")
    assert paid.status_code == 303
    form = {"actor": "somebody else", "reason": "why"}
    await browser.send("/operate/jobs/7/discard", "/operate/replay", **form)
    acted = [request for request in asked if request.method == "POST"]
    assert [request.headers["Payments-Operator"] for request in acted] == ["Ada%20L%C3%B6v"] * 2
    assert json.loads(acted[1].content) == {"reason": "why"}
    page = await (await browser.get("/activity?actor=ada&action=create")).get_data(as_text=True)
    assert asked[-1].url.params["actor"] == "ada"
    assert "ada &lt;b&gt;" in page
    assert 'href="/activity?action=create&amp;actor=ada&amp;cursor=older"' in page


async def test_every_action_has_a_name_on_the_page() -> None:
    record = RECORD | {"action": "undo_match", "paymentId": None, "reason": "another customer"}

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"actions": [record], "nextCursor": None})

    given = {"sign_in": "password", "password_hash": HASH, "password_user": "ada"}
    settings = Settings(**{"secret_key": SECRET, **given})  # type: ignore[arg-type]  # Values of several types.
    browser = Browser(create_app(settings, transport=httpx2.MockTransport(answer)).test_client())
    await browser.sign_in()
    page = await (await browser.get("/activity")).get_data(as_text=True)
    for action in OPERATOR_ACTIONS:
        assert re.search(rf'<option value="{action}">[A-Z][^<_]+</option>', page), action
    assert "Undo match" in page
    assert "0 jobs" not in page
