"""An API with webhooks that contain markup, and the page before it."""

import json
from typing import Any

import httpx2

from testkit.sign_in.page_browser import Browser, app_with

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
