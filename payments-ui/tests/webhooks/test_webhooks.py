"""The pages of webhooks: escaped text, a secret shown once, forms, and who may do what."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from quart import Quart

from payments_core.domain.webhooks import DISABLED_REASONS
from payments_ui.webhooks.forms import ActForm, WebhookForm
from payments_ui.webhooks.view import ACTS, payment_of
from testkit.sign_in.oidc_provider import OidcProvider
from testkit.sign_in.page_browser import Browser, app_with, oidc_app, password_app

ID = "01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e50"
DELIVERY_ID = "01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e60"
NOW = "2026-11-22T20:00:00Z"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVIL = "</pre><script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
WEBHOOK: dict[str, Any] = {
    "id": ID,
    "tenant": None,
    "url": "https://hooks.example.com/in?x=" + "%22%3E",
    "types": [],
    "description": EVIL,
    "enabled": True,
    "disabledReason": None,
    "failingSince": None,
    "previousSecretExpiresAt": None,
    "createdAt": NOW,
}
ATTEMPT = {
    "number": 1,
    "startedAt": NOW,
    "durationSeconds": 0.042,
    "statusCode": 500,
    "answer": EVIL,
    "error": EVIL,
}
DELIVERY: dict[str, Any] = {
    "id": DELIVERY_ID,
    "endpointId": ID,
    "eventId": "evt_1",
    "type": "payment.completed",
    "status": "failed",
    "attempts": 1,
    "nextAttemptAt": None,
    "createdAt": NOW,
    "finishedAt": NOW,
    "lastAttemptAt": NOW,
    "durationSeconds": 0.042,
    "statusCode": 500,
    "answer": EVIL,
    "error": EVIL,
    "body": json.dumps({"data": {"id": EVIL}}),
    "attemptLog": [ATTEMPT],
}


class Api:
    """An API that answers for one endpoint and one delivery, and keeps what it was sent."""

    def __init__(self, webhook: dict[str, Any] | None = None, status: int = 200) -> None:
        self.webhook, self.status = webhook or WEBHOOK, status
        self.sent: list[tuple[str, str, Any, str | None]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path, body = request.url.path, json.loads(request.content or b"null")
        if request.method != "GET":
            operator = request.headers.get("Payments-Operator")
            self.sent.append((request.method, path, body, operator))
            if self.status >= 400:
                problem = {"code": "validation_error", "title": "T.", "detail": "url is wrong."}
                errors = [{"field": "url", "detail": "must use port 443"}]
                return httpx2.Response(self.status, json={**problem, "errors": errors})
        paging = {"nextCursor": None, "previousCursor": None}
        secret = {"secret": SECRET} if path.endswith(("/secret", "/webhooks")) else {}
        answers: dict[str, Any] = {
            "/webhooks": {"webhooks": [self.webhook], **paging},
            f"/webhooks/{ID}": self.webhook,
            f"/webhooks/{ID}/deliveries": {"deliveries": [DELIVERY], **paging},
            f"/webhook-deliveries/{DELIVERY_ID}": DELIVERY,
            f"/webhooks/{ID}/resend": {"resent": 3},
        }
        if request.method == "DELETE":
            return httpx2.Response(204)
        if request.method == "GET":
            known = answers.get(path)
            return (
                httpx2.Response(404, json={"code": "webhook_not_found"})
                if known is None
                else (httpx2.Response(200, json=known))
            )
        return httpx2.Response(
            200,
            json=answers.get(path, self.webhook)
            | self.webhook
            | secret
            | ({"resent": 3} if path.endswith("/resend") else {}),
        )


def page_of(api: Api) -> Browser:
    return Browser(app_with(transport=httpx2.MockTransport(api)).test_client())


async def text_of(browser: Browser, path: str) -> str:
    response = await browser.get(path)
    assert response.status_code == 200, path
    return str(await response.get_data(as_text=True))


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


@pytest.mark.parametrize(
    ("act", "sent"),
    [
        ("test", ("POST", f"/webhooks/{ID}/test", {})),
        ("disable", ("PATCH", f"/webhooks/{ID}", {"enabled": False})),
        ("enable", ("PATCH", f"/webhooks/{ID}", {"enabled": True})),
        ("delete", ("DELETE", f"/webhooks/{ID}", None)),
        ("resend", ("POST", f"/webhooks/{ID}/resend", {"since": "2026-11-22T20:00:00Z"})),
    ],
)
async def test_each_act_is_confirmed_and_sent_once(act: str, sent: tuple[Any, ...]) -> None:
    api = Api()
    browser, path = page_of(api), f"/webhooks/{ID}/{act}"
    assert "<form" in await text_of(browser, path)
    assert api.sent == [], "asking changes nothing"
    response = await browser.send(path, path, since="2026-11-22T20:00")
    assert response.status_code == 303
    assert response.headers["Location"] == ("/webhooks" if act == "delete" else f"/webhooks/{ID}")
    assert [each[:3] for each in api.sent] == [sent]


async def test_every_act_of_the_page_has_its_question() -> None:
    for act in ACTS.values():
        assert act.question.endswith("?")


async def test_the_apis_refusal_stands_beside_the_field_with_the_input_kept() -> None:
    api = Api(status=422)
    response = await page_of(api).send(
        "/webhooks/new", "/webhooks/new", url="https://a.example.com:8443/", description="Mine"
    )
    page = await response.get_data(as_text=True)
    assert response.status_code == 422
    assert "The URL must use port 443." in page
    assert 'value="https://a.example.com:8443/"' in page
    assert 'value="Mine"' in page


async def test_an_unanswered_creation_does_not_claim_that_nothing_happened() -> None:
    response = await page_of(Api(status=503)).send(
        "/webhooks/new", "/webhooks/new", url="https://a.example.com"
    )
    assert response.status_code == 503
    assert "outcome is unknown" in await response.get_data(as_text=True)


@pytest.mark.parametrize(
    "path", ["/webhooks/new", f"/webhooks/{ID}/edit", f"/webhooks/{ID}/delete"]
)
async def test_an_expired_form_changes_nothing_and_keeps_its_input(path: str) -> None:
    api = Api()
    response = await page_of(api).client.post(
        path, form={"csrf": "wrong", "url": "https://typed.example.com"}
    )
    assert response.status_code == 403
    assert "This form has expired." in await response.get_data(as_text=True)
    assert api.sent == []


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


@pytest.mark.parametrize("hours", ["", "-1", "169", "1.5", "x", "\u0661", "9999"])
def test_wrong_hours_are_refused(hours: str) -> None:
    assert "graceHours" in ActForm.read({"hours": hours}, "rotate").errors


def test_a_time_is_needed_to_resend() -> None:
    assert "since" in ActForm.read({"since": "soon"}, "resend").errors
    proposed = ActForm.of({**WEBHOOK, "failingSince": NOW})  # type: ignore[typeddict-item]
    assert proposed.since == "2026-11-22T20:00"


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
