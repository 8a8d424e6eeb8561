"""Texts of banks and senders are shown on the pages of statements, never run."""

from typing import Any

import httpx2
import pytest
from markupsafe import escape

from payments_ui.app import create_app
from payments_ui.settings import Settings
from testkit.sign_in.page_browser import SECRET

# The last character reverses the text after it.
EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}\u202e"
PRINTABLE = EVIL.removesuffix("\u202e")
SHOWN = str(escape(EVIL.replace("\u202e", "[U+202E]")))
SOURCE = {
    "name": "bank-eur",
    "accountIdentifier": EVIL,
    "currency": "EUR",
    "channel": "default",
}
LINE: dict[str, Any] = {
    "id": "7",
    "amount": "11.00",
    "currency": "EUR",
    "bookedOn": "2026-11-23",
    "valuedOn": None,
    "status": "unmatched",
    "booking": "booked",
    "matchId": None,
    "statementFileId": "f1",
    "statement": 1,
    **dict.fromkeys(
        ("endToEnd", "bankRef", "counterparty", "remittance", "statusReason", "whyNot"), EVIL
    ),
    "candidates": [{"id": "12", "amount": "11.00", "reference": EVIL, "bookedOn": "2026-11-28"}],
}
FILE: dict[str, Any] = {
    "id": "f1",
    "source": "bank-eur",
    "sizeBytes": 1,
    "sha256": "ab",
    "status": "quarantined",
    "problemCode": "balance",
    "createdAt": "2026-11-28T00:00:00Z",
    "decidedAt": None,
    "acceptedBy": None,
    **dict.fromkeys(("problem", "problemAt", "actor"), EVIL),
    **dict.fromkeys(("fileName", "format", "encoding"), PRINTABLE),  # By the API.
    "statements": [],
}
BREAK: dict[str, Any] = {
    "id": "b1",
    "class": "bank_only",
    "side": "line",
    "itemId": "7",
    "amount": "11.00",
    "currency": "EUR",
    "bookedOn": "2026-11-23",
    "breakOn": "2026-11-25",
    "age": "2-7",
    **dict.fromkeys(
        ("reference", "counterparty", "remittance", "whyNot", "assignee", "note"), EVIL
    ),
    "candidates": [],
}
PAGE = {"nextCursor": None, "previousCursor": None}
ANSWERS: dict[str, Any] = {
    "/sources/bank-eur": SOURCE,
    "/sources/bank-eur/lines/7": LINE,
    "/sources/bank-eur/entries": {"entries": [], **PAGE},
    "/sources/bank-eur/breaks": {"breaks": [BREAK], **PAGE},
    "/statements": {"statements": [FILE], **PAGE},
    "/statements/f1": FILE,
    "/statements/f1/lines": {"lines": [LINE], **PAGE},
    "/sources": {"sources": [SOURCE], **PAGE},
}


async def _answer(request: httpx2.Request) -> httpx2.Response:
    known = ANSWERS.get(request.url.path)
    if known is None:
        return httpx2.Response(404, json={"status": 404, "code": "source_not_found", "title": EVIL})
    return httpx2.Response(200, json=known)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/bank-eur",
        "/bank-eur/files",
        "/bank-eur/files/f1",
        "/bank-eur/lines/7",
        "/bank-eur/nowhere",
        "/nowhere",
    ],
)
async def test_texts_from_outside_are_shown_as_text(path: str) -> None:
    settings = Settings(secret_key=SECRET)  # type: ignore[arg-type]  # A str is coerced.
    app = create_app(settings, transport=httpx2.MockTransport(_answer))
    answer = await app.test_client().get(f"/statements{path}")
    page = await answer.get_data(as_text=True)
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    if answer.status_code == 200:
        assert f"{SHOWN}</bdi>" in page, "the text is shown, apart from the text around it"
        assert "\u202e" not in page
    assert answer.headers["Content-Security-Policy"].startswith(
        "default-src 'none'; script-src 'self'"
    )
