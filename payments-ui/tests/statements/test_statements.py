"""Pages of statements without an API: what they ask for, show, refuse and send."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import httpx2
import pytest
from quart.typing import TestClientProtocol

from payments_ui.app import create_app
from payments_ui.settings import Settings
from payments_ui.statements.forms import ACTS, AnnotateForm
from testkit.sign_in.page_browser import SECRET

SOURCE = {
    "name": "bank-eur",
    "accountIdentifier": "DE1",
    "currency": "EUR",
    "channel": "default",
}
LINE = {
    "id": "7",
    "statement": 1,
    "amount": "11.00",
    "currency": "EUR",
    "bookedOn": "2026-11-23",
    "valuedOn": None,
    "endToEnd": None,
    "status": "unmatched",
    "statusReason": None,
    "booking": "booked",
    "matchId": None,
    "whyNot": "no entry has this reference; 2 entries have this amount",
    "candidates": [
        {"id": each, "amount": "11.00", "reference": f"INV-{each}", "bookedOn": "2026-11-28"}
        for each in ("12", "14")
    ],
    "statementFileId": "f1",
}
UNFINISHED: dict[str, Any] = {
    **dict.fromkeys(("fileName", "format", "acceptedBy"), None),
    "id": "f1",
    "source": "bank-eur",
    "status": "quarantined",
    "problemCode": "unfinished",
    "problem": "no import ended",
    "problemAt": "import",
    "actor": "ann",
    "statements": [],
    "sizeBytes": 1,
    "sha256": "00",
    "createdAt": "2026-11-28T00:00:00Z",
}
Answer = Callable[[httpx2.Request], httpx2.Response]


class Api:
    """Answers the page, and keeps what it sent."""

    def __init__(self, refusal: dict[str, Any] | None = None) -> None:
        self.sent: list[tuple[str, Any]] = []
        self._refusal = refusal

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if request.method == "POST":
            body = await request.aread()
            self.sent.append((f"{path}?{request.url.query.decode()}".rstrip("?"), body))
            if self._refusal is not None:
                return httpx2.Response(self._refusal["status"], json=self._refusal)
            return httpx2.Response(
                201, json={"id": "f1" if path == "/statements" else "7", "lines": [LINE]}
            )
        answers: dict[str, Any] = {
            "/sources/bank-eur": SOURCE,
            "/sources/bank-eur/lines/7": LINE,
            "/statements/f1": UNFINISHED,
            "/statements/f1/lines": {"lines": [], "nextCursor": None, "previousCursor": None},
            "/sources/bank-eur/entries": {"entries": [], "nextCursor": None},
        }
        known = answers.get(path)
        if known is None:
            problem = {"status": 404, "code": "source_not_found", "title": "No source."}
            return httpx2.Response(404, json=problem)
        return httpx2.Response(200, json=known)


def _client(api: Api) -> TestClientProtocol:
    settings = Settings(secret_key=SECRET)  # type: ignore[arg-type]  # A str is coerced.
    return create_app(settings, transport=httpx2.MockTransport(api.answer)).test_client()


async def _token(client: TestClientProtocol, path: str) -> str:
    page = await (await client.get(path)).get_data(as_text=True)
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    return found[1]


async def test_equal_candidates_are_shown_and_none_is_ticked() -> None:
    answer = await _client(Api()).get("/statements/bank-eur/lines/7")
    page = await answer.get_data(as_text=True)
    assert page.count('name="entry"') == 2
    assert "checked" not in page
    assert "No entry has this reference; 2 entries have this amount." in page


async def test_ticked_items_are_matched_once_confirmed_with_a_reason() -> None:
    api = Api()
    client = _client(api)
    path = "/statements/bank-eur/items/selected/match"
    token = await _token(client, f"{path}?line=7&entry=12&entry=14")
    form = {"csrf": token, "actor": "ada", "line": "7", "entry": "12"}
    refused = await client.post(path, form={**form, "reason": ""})
    assert (refused.status_code, api.sent) == (422, [])
    answer = await client.post(path, form={**form, "reason": "one invoice"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/statements/bank-eur/lines/7")
    ((sent, body),) = api.sent
    assert sent == "/sources/bank-eur/matches"
    assert json.loads(body) == {
        "actor": "ada",
        "reason": "one invoice",
        "lines": ["7"],
        "entries": ["12"],
    }


async def test_a_file_whose_import_never_ended_is_tried_again_on_record() -> None:
    api = Api()
    client = _client(api)
    path = "/statements/bank-eur/files/f1"
    page = await (await client.get(path)).get_data(as_text=True)
    assert f'href="{path}/retry"' in page
    assert f"{path}/accept" not in page
    form = {"csrf": await _token(client, f"{path}/retry"), "actor": "ada", "reason": "memory"}
    answer = await client.post(f"{path}/retry", form=form)
    assert (answer.status_code, answer.headers["Location"]) == (303, path)
    ((sent, body),) = api.sent
    assert (sent, json.loads(body)) == (
        "/statements/f1/accept",
        {"actor": "ada", "reason": "memory"},
    )


async def test_a_refusal_keeps_the_form_and_says_why() -> None:
    problem = {"status": 409, "code": "match_refused", "title": "No.", "detail": "The sums differ."}
    client = _client(Api(problem))
    path = "/statements/bank-eur/lines/7/explain"
    form = {"csrf": await _token(client, path), "actor": "ada", "reason": "a fee"}
    answer = await client.post(path, form=form)
    page = await answer.get_data(as_text=True)
    assert answer.status_code == 409
    assert "The sums differ." in page
    assert 'value="a fee"' in page


@pytest.mark.parametrize(
    "path",
    [
        "/statements/bank-eur/lines/7/undo",
        "/statements/bank-eur/files/f1/match",
        "/statements/bank-eur/odd/7/explain",
        "/statements/bank-eur/lines/8",
        "/statements/nowhere",
    ],
)
async def test_what_does_not_exist_is_not_found(path: str) -> None:
    assert (await _client(Api()).get(path)).status_code == 404


async def test_a_file_passes_through_with_the_forms_token_alone() -> None:
    api = Api()
    client = _client(api)
    token = await _token(client, "/statements/bank-eur/lines/7/explain")
    path = "/statements/upload?source=bank-eur&fileName=a+b.xml"
    data = bytes(3_000_000)  # Far beyond the limit of forms.
    refused = await client.post(path, data=data)
    assert (refused.status_code, api.sent) == (403, [])
    answer = await client.post(path, data=data, headers={"Payments-Form": token})
    assert await answer.get_json() == {"address": "/statements/bank-eur/files/f1"}
    ((sent, body),) = api.sent
    assert parse_qs(sent.partition("?")[2]) == {"source": ["bank-eur"], "fileName": ["a b.xml"]}
    assert body == data


async def test_a_refused_file_says_why() -> None:
    problem = {"status": 413, "code": "payload_too_large", "title": "No.", "detail": "Too long."}
    client = _client(Api(problem))
    token = await _token(client, "/statements/bank-eur/lines/7/explain")
    headers = {"Payments-Form": token}
    answer = await client.post("/statements/upload?source=bank-eur", data=b"x", headers=headers)
    assert (answer.status_code, await answer.get_json()) == (413, {"problem": "Too long."})


async def test_a_full_disk_is_told_apart() -> None:
    problem = {"status": 507, "code": "storage_full", "title": "The database's disk is full."}
    client = _client(Api(problem))
    token = await _token(client, "/statements/bank-eur/lines/7/explain")
    headers = {"Payments-Form": token}
    answer = await client.post("/statements/upload?source=bank-eur", data=b"x", headers=headers)
    told = await answer.get_json()
    assert (answer.status_code, told) == (
        503,
        {"problem": "The payments service has no space left: an operator has to free its disk."},
    )


def test_a_notes_form_sends_what_removes_too() -> None:
    form = AnnotateForm.read({"assignee": " ann ", "note": "", "actor": "ada"}, None)
    assert form.as_body() == {"actor": "ada", "assignee": "ann", "note": ""}
    assert AnnotateForm.read({"assignee": "x" * 201}, "ada").confirm.errors.keys() == {"assignee"}
    assert all(act.title.endswith("?") for act in ACTS.values())
