"""The pages of webhooks: escaped text, a secret shown once, forms, and who may do what."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from quart import Quart

from payments_core.domain.webhooks import DISABLED_REASONS
from payments_ui.webhooks.forms import WebhookForm
from payments_ui.webhooks.view import payment_of
from testkit.sign_in.oidc_provider import OidcProvider
from testkit.sign_in.page_browser import Browser, oidc_app, password_app

from .conftest import DELIVERY, DELIVERY_ID, EVIL, ID, NOW, SECRET, WEBHOOK, Api, page_of, text_of

PAGES = [
    "/webhooks",
    f"/webhooks/{ID}",
    f"/webhooks/deliveries/{DELIVERY_ID}",
    f"/webhooks/{ID}/edit",
    f"/webhooks/{ID}/delete",
    f"/webhooks/deliveries/{DELIVERY_ID}/resend",
]


@pytest.mark.parametrize("path", PAGES)
async def test_what_a_receiver_or_a_tenant_writes_is_shown_as_text(path: str) -> None:
    page = await text_of(page_of(Api()), path)
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "whsec_" not in page


async def test_the_answer_and_the_error_of_each_attempt_are_shown() -> None:
    page = await text_of(page_of(Api()), f"/webhooks/deliveries/{DELIVERY_ID}")
    assert page.count("&lt;script&gt;alert(1)") >= 3  # Answer, error, body.
    assert "42 ms" in page


@pytest.mark.parametrize("reason", DISABLED_REASONS)
async def test_a_disabled_endpoint_says_why_and_offers_to_enable_it(reason: str) -> None:
    api = Api(WEBHOOK | {"enabled": False, "disabledReason": reason})
    page = await text_of(page_of(api), f"/webhooks/{ID}")
    told = {"operator": "by an operator", "gone": "410", "failing": "failed for five days"}
    assert told[reason] in page
    assert f"/webhooks/{ID}/enable" in page
    assert f"/webhooks/{ID}/test" not in page
    assert f"/webhooks/{ID}/resend" not in page


async def test_a_failing_endpoint_says_since_when() -> None:
    page = await text_of(page_of(Api(WEBHOOK | {"failingSince": NOW})), f"/webhooks/{ID}")
    assert "Failing" in page
    assert 'datetime="2026-11-22T20:00:00Z"' in page


async def test_two_live_secrets_are_told_with_the_end_of_the_former() -> None:
    api = Api(WEBHOOK | {"previousSecretExpiresAt": NOW})
    assert "Two sign" in await text_of(page_of(api), f"/webhooks/{ID}")


async def test_a_secret_is_shown_at_creation_and_kept_by_no_cache() -> None:
    api = Api()
    response = await page_of(api).send(
        "/webhooks/new", "/webhooks/new", url="https://a.example.com", types="payment.failed"
    )
    assert response.status_code == 201
    assert SECRET in await response.get_data(as_text=True)
    assert response.headers["Cache-Control"] == "no-store"
    [(method, path, body, _)] = api.sent
    assert (method, path) == ("POST", "/webhooks")
    assert body == {"url": "https://a.example.com", "types": ["payment.failed"], "description": ""}


async def test_a_replaced_secret_is_shown_once() -> None:
    api = Api()
    path = f"/webhooks/{ID}/rotate"
    response = await page_of(api).send(path, path, hours="2")
    assert SECRET in await response.get_data(as_text=True)
    assert api.sent == [("POST", f"/webhooks/{ID}/secret", {"graceHours": 2}, None)]


async def test_an_unknown_endpoint_is_a_page_of_its_own() -> None:
    response = await page_of(Api()).get("/webhooks/01936f5e-3c7a-7d5e-9a51-0b6c8f1d2eff")
    assert response.status_code == 404
    assert "Webhook not found" in await response.get_data(as_text=True)


async def test_an_operator_is_named_and_a_viewer_sees_no_act(
    provider: OidcProvider, browser_of: Callable[[Quart], Browser]
) -> None:
    api = Api()
    app = oidc_app(provider, transport=httpx2.MockTransport(api))
    viewer = browser_of(app)
    await viewer.sign_in_as("grace")
    for path in PAGES[:3]:
        page = await text_of(viewer, path)
        assert "data-dialog" not in page.partition('<main id="main"')[2].partition("</main>")[0]
    for path in (*PAGES[3:], "/webhooks/new"):
        assert (await viewer.get(path)).status_code == 403
    operator = browser_of(app)
    await operator.sign_in_as("ada")
    path = f"/webhooks/{ID}/test"
    assert (await operator.send(path, path)).status_code == 303
    assert api.sent[0][3], "the API is told who acts"


async def test_signed_out_nothing_is_shown() -> None:
    browser = Browser(password_app(transport=httpx2.MockTransport(Api())).test_client())
    for path in PAGES:
        assert (await browser.get(path)).status_code in (303, 401)


def test_a_form_of_an_endpoint_holds_its_fields() -> None:
    form = WebhookForm.of({**WEBHOOK, "types": ["job.dead"]})  # type: ignore[typeddict-item]
    assert form.as_change() == {
        "url": WEBHOOK["url"],
        "types": ["job.dead"],
        "description": EVIL,
    }


@pytest.mark.parametrize(
    ("type_", "body", "found"),
    [
        ("payment.completed", {"data": {"id": "p"}}, "p"),
        ("reversal.failed", {"data": {"id": "r", "paymentId": "p"}}, "p"),
        ("webhook.test", {"data": {"endpointId": "e"}}, None),
        ("payment.completed", {"data": None}, None),
        ("payment.completed", {"data": {"id": 7}}, None),
    ],
)
def test_a_body_names_its_payment(type_: str, body: Any, found: str | None) -> None:
    told = {**DELIVERY, "type": type_, "body": json.dumps(body)}
    assert payment_of(told) == found  # type: ignore[arg-type]  # A dict of the same shape.
