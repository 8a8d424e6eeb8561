"""POST /payments/batch: each item succeeds or fails on its own; results keep the order."""

from typing import Any

import pytest
from quart.typing import TestClientProtocol

from payments_api.app import create_app
from payments_api.settings import ApiSettings
from testkit.database.sql import Sql


def _item(key: Any, **fields: Any) -> dict[str, Any]:
    return {"idempotencyKey": key, "accountId": "acc_1", "amount": "1.00"} | fields


async def _answers(client: TestClientProtocol, *items: Any) -> list[dict[str, Any]]:
    answer = await client.post("/payments/batch", json={"payments": list(items)})
    assert answer.status_code == 200
    answers: list[dict[str, Any]] = (await answer.get_json())["payments"]
    assert len(answers) == len(items)
    return answers


async def _count(sql: Sql) -> Any:
    return await sql.fetchval(
        "SELECT count(*) FROM payments JOIN recon_jobs ON payment_id = payments.id"
    )


ITEMS: list[tuple[str, Any, int, str | None]] = [
    # description, item, status, code
    ("a good one", _item("k"), 201, None),
    ("a negative amount", _item("k", amount=-1), 201, None),
    ("no key", {"accountId": "acc_1", "amount": 1}, 400, "idempotency_key_missing"),
    ("an empty key", _item(""), 400, "idempotency_key_missing"),
    ("a key of 256 characters", _item("k" * 256), 400, "idempotency_key_invalid"),
    ("a key that is a number", _item(7), 400, "idempotency_key_invalid"),
    ("a key with a space", _item("a b"), 400, "idempotency_key_invalid"),
    ("a key that is half a pair", _item("\ud800"), 400, "idempotency_key_invalid"),
    ("too many decimals", _item("k", amount="1.005"), 422, "validation_error"),
    ("no amount", {"idempotencyKey": "k", "accountId": "a"}, 422, "validation_error"),
    ("an unknown field", _item("k", status="completed"), 422, "validation_error"),
    ("a system account", _item("k", accountId="sys:x"), 422, "validation_error"),
    ("null", None, 422, "validation_error"),
    ("a list", [], 422, "validation_error"),
    ("a text", "payment", 422, "validation_error"),
    ("an empty object", {}, 400, "idempotency_key_missing"),
]


@pytest.mark.parametrize(
    ("item", "status", "code"), [row[1:] for row in ITEMS], ids=[row[0] for row in ITEMS]
)
async def test_each_item_has_its_own_answer(
    client: TestClientProtocol,
    sql: Sql,
    item: Any,
    status: int,
    code: str | None,
) -> None:
    before, answer, after = await _answers(client, _item("before"), item, _item("after"))
    assert (before["status"], after["status"]) == (201, 201)
    assert answer["status"] == status
    assert answer.get("error", {}).get("code") == code
    assert await _count(sql) == 2 + (status == 201)


BODIES: list[tuple[Any, int]] = [
    ({}, 422),
    ({"payments": None}, 422),
    ({"payments": {}}, 422),
    ({"payments": []}, 422),
    ({"payments": [_item(f"k{n}") for n in range(1001)]}, 422),
    ({"payments": [_item("k")], "more": 1}, 422),
    ([_item("k")], 400),
]


@pytest.mark.parametrize(("body", "status"), BODIES)
async def test_an_invalid_batch_stores_nothing(
    client: TestClientProtocol, sql: Sql, body: Any, status: int
) -> None:
    answer = await client.post("/payments/batch", json=body)
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert await _count(sql) == 0


async def test_a_thousand_payments_are_answered_in_order(
    client: TestClientProtocol, sql: Sql
) -> None:
    items = [_item(f"k{n}", amount=f"{n}.00") for n in range(1000)]
    answers = await _answers(client, *items)
    assert [answer["payment"]["amount"] for answer in answers] == [f"{n}.00" for n in range(1000)]
    assert await _count(sql) == 1000
    again = await _answers(client, *items)
    assert all(answer["replayed"] for answer in again)
    assert [a["payment"] for a in again] == [a["payment"] for a in answers]
    assert await _count(sql) == 1000


async def test_a_key_twice_in_a_batch_is_one_payment(client: TestClientProtocol, sql: Sql) -> None:
    answers = await _answers(client, _item("k"), _item("k"), _item("other"), _item("k"))
    assert [answer["status"] for answer in answers] == [201] * 4
    assert len({answers[n]["payment"]["id"] for n in (0, 1, 3)}) == 1
    assert [answers[n]["replayed"] for n in (0, 1, 3)] == [False, True, True]
    assert await _count(sql) == 2


@pytest.mark.parametrize("lanes", [1, 4])
async def test_of_several_bodies_with_one_key_the_first_is_created(
    api_url_of_database: str, sql: Sql, lanes: int
) -> None:
    settings = ApiSettings.model_validate(
        {"auth": "off", "DATABASE_URL": api_url_of_database, "insert_concurrency": lanes}
    )
    # Many, because Postgres happens to keep the order of only a few equal keys.
    items = [_item(f"k{n % 300}", amount=n // 300) for n in range(1000)]
    async with create_app(settings).test_app() as app:
        answers = await _answers(app.test_client(), *items)
    assert [answer["status"] for answer in answers] == [201] * 300 + [422] * 700
    assert {a["error"]["code"] for a in answers[300:]} == {"idempotency_key_reused"}
    assert {a["payment"]["amount"] for a in answers[:300]} == {"0.00"}
    assert await _count(sql) == 300


async def test_an_earlier_key_in_a_batch_is_replayed_or_rejected(
    client: TestClientProtocol, sql: Sql
) -> None:
    (before,) = await _answers(client, _item("k", amount=2))
    refused, replayed, again = await _answers(
        client, _item("k", amount=1), _item("k", amount=2), _item("k", amount=1)
    )
    assert (refused["status"], again["status"]) == (422, 422)
    assert replayed == before | {"replayed": True}
    assert await _count(sql) == 1


async def test_single_and_batch_creation_share_keys(client: TestClientProtocol, sql: Sql) -> None:
    single = await client.post(
        "/payments",
        json={"accountId": "acc_1", "amount": 1},
        headers={"Idempotency-Key": "k"},
    )
    (answer,) = await _answers(client, _item("k"))
    assert answer == {"status": 201, "replayed": True, "payment": await single.get_json()}
    assert await _count(sql) == 1


async def test_a_batch_needs_no_header_and_may_be_a_mebibyte(
    client: TestClientProtocol, sql: Sql
) -> None:
    items = [_item(f"k{n}", description="d" * 480) for n in range(1000)]
    await _answers(client, *items)
    items = [_item(f"k{n}", description="é" * 500) for n in range(1000)]
    answer = await client.post("/payments/batch", json={"payments": items})
    assert answer.status_code == 413
    assert await _count(sql) == 1000


async def test_a_batch_beyond_the_queues_capacity_is_rejected_whole(
    api_url_of_database: str, sql: Sql
) -> None:
    settings = ApiSettings.model_validate(
        {"auth": "off", "DATABASE_URL": api_url_of_database, "create_queue_max": 2}
    )
    async with create_app(settings).test_app() as app:
        items = [_item(f"k{n}") for n in range(3)]
        answer = await app.test_client().post("/payments/batch", json={"payments": items})
        assert answer.status_code == 503
        assert (await answer.get_json())["code"] == "overloaded"
    assert await _count(sql) == 0
