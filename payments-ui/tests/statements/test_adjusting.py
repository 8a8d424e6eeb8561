"""Adjustments on the page: propose from a line, approve or reject, and what is shown."""

import json
from typing import Any

import httpx2
import pytest

from .test_statements import Api, _client, _token

ADJUSTMENT: dict[str, Any] = {
    "id": "01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e40",
    "kind": "fee",
    "amount": "-4.00",
    "currency": "EUR",
    "accountId": "sys:adjustment:fee",
    "lineId": "7",
    "entryIds": ["12"],
    "reason": "charges",
    "status": "proposed",
    "proposedBy": "ann",
    "proposedAt": "2026-11-28T10:00:00.000000Z",
    "decidedBy": None,
    "decidedAt": None,
    "decisionReason": None,
    "settledAt": None,
    "failure": None,
}
ONE = f"/statements/bank-eur/adjustments/{ADJUSTMENT['id']}"


class Adjusted(Api):
    """An API with one adjustment, which waits for a decision."""

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if request.method == "POST":
            await super().answer(request)
            return httpx2.Response(200, json=ADJUSTMENT)
        if path == "/sources/bank-eur/adjustments":
            return httpx2.Response(200, json={"adjustments": [ADJUSTMENT]})
        if path == f"/sources/bank-eur/adjustments/{ADJUSTMENT['id']}":
            return httpx2.Response(200, json=ADJUSTMENT)
        if path == "/sources/bank-eur/breaks":
            empty: dict[str, Any] = {"breaks": [], "nextCursor": None, "previousCursor": None}
            return httpx2.Response(200, json=empty)
        return await super().answer(request)


async def test_the_difference_of_a_line_is_proposed_with_its_kind() -> None:
    api = Adjusted()
    client = _client(api)
    path = "/statements/bank-eur/lines/7/adjust"
    form = {"csrf": await _token(client, f"{path}?entry=12"), "actor": "ann", "entry": "12"}
    refused = await client.post(path, form={**form, "kind": "fee", "reason": ""})
    assert (refused.status_code, api.sent) == (422, [])
    assert 'name="entry" value="12"' in await refused.get_data(as_text=True)
    answer = await client.post(path, form={**form, "kind": "rounding", "reason": "charges"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/statements/bank-eur/lines/7")
    ((sent, body),) = api.sent
    assert (sent, json.loads(body)) == (
        "/sources/bank-eur/adjustments",
        {
            "actor": "ann",
            "reason": "charges",
            "line": "7",
            "entries": ["12"],
            "kind": "rounding",
        },
    )


@pytest.mark.parametrize(("act", "sent_as"), [("approve", "approve"), ("decline", "reject")])
async def test_another_person_decides(act: str, sent_as: str) -> None:
    api = Adjusted()
    client = _client(api)
    form = {"csrf": await _token(client, f"{ONE}/{act}"), "actor": "bob", "reason": "as agreed"}
    answer = await client.post(f"{ONE}/{act}", form=form)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/statements/bank-eur/lines/7")
    ((sent, body),) = api.sent
    assert sent == f"/sources/bank-eur/adjustments/{ADJUSTMENT['id']}/{sent_as}"
    assert json.loads(body) == {"actor": "bob", "reason": "as agreed"}


async def test_a_line_shows_what_waits_and_offers_no_second_proposal() -> None:
    page = await (await _client(Adjusted()).get("/statements/bank-eur/lines/7")).get_data(True)
    assert f"{ONE}/approve" in page
    assert "by <bdi>ann</bdi>" in page
    assert "Adjust…" not in page
    page = await (await _client(Api()).get("/statements/bank-eur/lines/7")).get_data(True)
    assert "Adjust…" in page
    assert "/approve" not in page


async def test_a_source_lists_what_waits_for_approval() -> None:
    page = await (await _client(Adjusted()).get("/statements/bank-eur")).get_data(as_text=True)
    assert "Adjustments to approve" in page
    assert "/statements/bank-eur/lines/7" in page


@pytest.mark.parametrize("act", ["approve", "decline"])
async def test_the_question_says_what_is_decided_and_leads_back_to_the_line(act: str) -> None:
    page = await (await _client(Adjusted()).get(f"{ONE}/{act}")).get_data(True)
    for text in ("\N{MINUS SIGN}4.00", "Fee", "<bdi>charges</bdi>", "<bdi>ann</bdi>"):
        assert text in page
    assert 'href="/statements/bank-eur/lines/7" data-dialog-close' in page
