"""Reference, metadata and source: stored, answered, replayed, and found again."""

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quart.typing import TestClientProtocol
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.domain.money import parse_amount
from payments_core.domain.payments import NewPayment, metadata_text
from testkit.database.sql import Sql
from testkit.model.ledger import assert_audit_is_clean

BODY = {"accountId": "acc_1", "amount": "1.00"}
ATTACHED: dict[str, Any] = {
    "reference": "INV 7/a",
    "metadata": {"longer": "1", "b": "é", "a": '"\\\t', "ä": ""},
    "source": "bank-1",
}


async def _post(client: TestClientProtocol, key: str, **fields: Any) -> Any:
    return await client.post("/payments", json=BODY | fields, headers={"Idempotency-Key": key})


async def _ids(client: TestClientProtocol, query: str) -> list[str]:
    answer = await client.get(f"/payments?{query}")
    assert answer.status_code == 200, await answer.get_data()
    return [payment["id"] for payment in (await answer.get_json())["payments"]]


async def test_every_answer_has_reference_metadata_and_source(
    client: TestClientProtocol,
) -> None:
    made = await (await _post(client, "k", **ATTACHED)).get_json()
    detail = await (await client.get(f"/payments/{made['id']}")).get_json()
    listed = (await (await client.get("/payments")).get_json())["payments"][0]
    for answer in (made, detail, listed):
        assert {name: answer[name] for name in ATTACHED} == ATTACHED
    plain = await (await _post(client, "plain")).get_json()
    for answer in (plain, await (await client.get(f"/payments/{plain['id']}")).get_json()):
        none: dict[str, Any] = {"reference": None, "metadata": {}, "source": "default"}
        assert {name: answer[name] for name in ATTACHED} == none


async def test_a_replay_has_the_bytes_of_the_first_answer(client: TestClientProtocol) -> None:
    first = await _post(client, "k", **ATTACHED)
    reordered = dict(reversed(ATTACHED["metadata"].items()))
    again = await _post(client, "k", **ATTACHED | {"metadata": reordered})
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await again.get_data() == await first.get_data()
    others: list[dict[str, Any]] = [{"reference": "B"}, {"metadata": {}}, {"source": "bank-2"}]
    for other in others:
        assert (await _post(client, "k", **ATTACHED | other)).status_code == 422
    batch = {"payments": [{"idempotencyKey": "k", **BODY, **ATTACHED}]}
    (item,) = (await (await client.post("/payments/batch", json=batch)).get_json())["payments"]
    assert (item["replayed"], item["payment"]) == (True, json.loads(await first.get_data()))


async def test_a_payment_of_an_earlier_release_is_replayed(
    client: TestClientProtocol, sql: Sql
) -> None:
    order = NewPayment("old", "acc_1", parse_amount("1.00", "USD"), "USD", "d")
    await sql.execute(
        "INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount,"
        " currency, description) VALUES ($1, 'old', $2, 'acc_1', 1.00, 'USD', 'd')",
        uuid4(),
        order.fingerprint(),
    )
    answer = await _post(client, "old", description="d")
    assert (answer.status_code, answer.headers["Idempotency-Replayed"]) == (201, "true")
    assert (await _post(client, "old", description="d", source="bank-1")).status_code == 422


async def test_payments_are_found_by_reference_and_by_key(client: TestClientProtocol) -> None:
    ids = []
    for number, reference in enumerate(["A", "B", "A"]):
        answer = await _post(client, f"k{number}", accountId=f"acc_{number}", reference=reference)
        ids.append((await answer.get_json())["id"])
    await _post(client, "without")
    assert await _ids(client, "reference=A") == [ids[2], ids[0]]
    assert await _ids(client, "reference=A&accountId=acc_0") == [ids[0]]
    assert await _ids(client, "reference=A&status=pending") == [ids[2], ids[0]]
    assert await _ids(client, "reference=a") == []
    assert await _ids(client, "idempotencyKey=k1") == [ids[1]]
    assert await _ids(client, "idempotencyKey=k1&reference=A") == []
    assert await _ids(client, "idempotencyKey=K1") == []
    page = await (await client.get("/payments?reference=A&limit=1")).get_json()
    cursor = page["nextCursor"]
    assert await _ids(client, f"reference=A&limit=1&cursor={cursor}") == [ids[0]]
    assert (await client.get(f"/payments?reference=B&limit=1&cursor={cursor}")).status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        *("reference=", "reference=a//b", "reference=%C3%A9", "reference=A&reference=B"),
        *("idempotencyKey=", "idempotencyKey=a%0A", "idempotencyKey=%C3%A9"),
        f"idempotencyKey={'k' * 256}",
    ],
)
async def test_an_impossible_filter_is_rejected(client: TestClientProtocol, query: str) -> None:
    answer = await client.get(f"/payments?{query}")
    assert (answer.status_code, (await answer.get_json())["code"]) == (422, "validation_error")


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)


@given(st.dictionaries(texts, texts, max_size=5))
def test_equal_metadata_has_one_canonical_json_text(metadata: dict[str, str]) -> None:
    text = metadata_text(metadata)
    assert json.loads(text) == metadata
    assert metadata_text(dict(reversed(metadata.items()))) == text


async def test_the_text_of_metadata_equals_that_of_postgres(sql: Sql) -> None:
    characters = "".join(map(chr, [*range(1, 0xD800), 0xE000, 0xFFFF, 0x1F600, 0x10FFFF]))
    keys = ["", "b", "a", "B", "aa", "é", "\u0101", "\uffff", "\U0001f600", "zzz", "éé", "\x7f"]
    metadata = dict.fromkeys(keys, "v") | {"all": characters}
    text = metadata_text(metadata)
    assert await sql.fetchval("SELECT $1::text::jsonb::text", text) == text


async def test_the_auditor_computes_the_same_fingerprint(
    client: TestClientProtocol, sql: Sql, engine: AsyncEngine
) -> None:
    for number, (name, value) in enumerate([*ATTACHED.items(), ("description", "\x1f\x1f")]):
        assert (await _post(client, f"k{number}", **{name: value})).status_code == 201
    assert (await _post(client, "all", **ATTACHED, description="\x1f")).status_code == 201
    await assert_audit_is_clean(engine)
