"""Queries and positions of the event log: checked, encrypted, bound to their scope."""

from typing import Any

import pytest
from quart.typing import TestClientProtocol

from payments_api.http.errors import InvalidCursor
from payments_api.http.pagination import CursorSigner

from .conftest import read_events_page

BAD_QUERIES = [
    # query, status, code
    ({"after": "x"}, 400, "invalid_cursor"),
    ({"after": ""}, 400, "invalid_cursor"),
    ({"after": "é"}, 400, "invalid_cursor"),
    ({"after": "A" * 32}, 400, "invalid_cursor"),
    ({"after": "LATEST"}, 400, "invalid_cursor"),
    ({"types": ""}, 422, "validation_error"),
    ({"types": "payment"}, 422, "validation_error"),
    ({"types": "payment.completed,"}, 422, "validation_error"),
    ({"types": "payment.completed, payment.failed"}, 422, "validation_error"),
    ({"limit": 0}, 422, "validation_error"),
    ({"limit": 201}, 422, "validation_error"),
    ({"cursor": "x"}, 422, "validation_error"),
]


@pytest.mark.parametrize(("query", "status", "code"), BAD_QUERIES)
async def test_a_bad_query_is_rejected(
    client: TestClientProtocol, query: dict[str, Any], status: int, code: str
) -> None:
    assert (await read_events_page(client, status, **query))["code"] == code


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("after=%ff", 400),
        ("after=%ED%A0%80", 400),
        ("after=%00", 422),
        ("after=" + "A" * 5_000, 422),
        ("after=" + "A" * 44, 400),
        ("after=latest&after=latest", 422),
        ("types=payment.completed&types=payment.failed", 422),
        ("types=%00", 422),
        ("types=" + ",".join(["job.dead"] * 50), 200),
        ("types=" + ",".join(["job.dead"] * 300), 422),
        ("limit=%D9%A1", 422),  # A digit of another script.
        ("limit=1e2", 422),
        ("limit=-1", 422),
        ("limit=99999999999999999999", 422),
    ],
)
async def test_any_bytes_of_a_query_get_an_answer(
    client: TestClientProtocol, query: str, status: int
) -> None:
    answer = await client.get(f"/events?{query}")
    assert answer.status_code == status, await answer.get_data()


def test_an_unlinkable_position_is_read_by_its_key_and_scope_alone() -> None:
    signer, scope = CursorSigner("k"), {"list": "events", "tenant": "a"}
    cursor = signer.sign_unlinkable(scope, 7)
    assert signer.read_unlinkable(scope, cursor) == 7
    for foreign in ({"list": "events"}, {"list": "events", "tenant": "b"}, {"list": "payments"}):
        with pytest.raises(InvalidCursor):
            signer.read_unlinkable(foreign, cursor)
    with pytest.raises(InvalidCursor):
        CursorSigner("K").read_unlinkable(scope, cursor)
    for number in range(len(cursor)):
        changed = "A" if cursor[number] != "A" else "B"
        with pytest.raises(InvalidCursor):
            signer.read_unlinkable(scope, cursor[:number] + changed + cursor[number + 1 :])
    with pytest.raises(InvalidCursor):  # The halves of two cursors.
        signer.read_unlinkable(scope, signer.sign_unlinkable(scope, 7)[:12] + cursor[12:])


def test_an_encrypted_position_opens_only_with_its_key_and_scope() -> None:
    signer, scope = CursorSigner("k"), {"list": "events"}
    for position in (0, 1, 12345, 2**63 - 1):
        cursor = signer.sign_hidden(scope, position)
        assert signer.read_hidden(scope, cursor) == position
        for other in (CursorSigner("K"), signer):
            with pytest.raises(InvalidCursor):
                other.read_hidden({"list": "events", "tenant": "a"}, cursor)
        for number in range(len(cursor)):
            changed = "A" if cursor[number] != "A" else "B"
            with pytest.raises(InvalidCursor):
                signer.read_hidden(scope, cursor[:number] + changed + cursor[number + 1 :])
    assert signer.sign_hidden(scope, 1)[22:] != signer.sign_hidden(scope, 2)[22:]
