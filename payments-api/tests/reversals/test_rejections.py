"""Reversals that are rejected: fields, keys, amounts, payments."""

import json
from decimal import Decimal
from typing import Any

import pytest
from quart.typing import TestClientProtocol

from testkit.database.backlog import Stored, add_payments
from testkit.database.sql import Sql

from .conftest import STORED, code_of, reverse, settle


async def test_a_key_names_one_reversal(
    client: TestClientProtocol, sql: Sql, paid: Stored, worker_url_of_database: str
) -> None:
    first = await reverse(client, paid, "k", amount="1.00", metadata={"b": "1", "a": "é"})
    again = await reverse(client, paid, "k", amount=1, metadata={"a": "é", "b": "1"})
    assert await again.get_data() == await first.get_data()
    await settle(sql, worker_url_of_database)
    again = await reverse(client, paid, "k", amount=1, metadata={"a": "é", "b": "1"})
    assert await again.get_data() == await first.get_data()
    for other in ({"amount": "2.00"}, {}, {"amount": "1.00", "reason": "another"}):
        answer = await reverse(client, paid, "k", **other)
        assert await code_of(answer) == (422, "idempotency_key_reused")


async def test_only_a_completed_payment_is_reversed(
    client: TestClientProtocol, sql: Sql, worker_url_of_database: str
) -> None:
    pending, failed = await add_payments(sql, [("a", "1", "USD"), ("a", "-1", "USD")])
    refused = await (await reverse(client, pending)).get_json()
    assert (refused["status"], refused["code"]) == (409, "payment_not_completed")
    assert refused["detail"] == "The payment is pending: wait until it is completed."
    await settle(sql, worker_url_of_database)
    refused = await (await reverse(client, failed)).get_json()
    assert (refused["status"], refused["code"]) == (409, "payment_not_completed")
    assert refused["detail"] == "The payment failed: there is nothing to reverse."
    assert (await reverse(client, pending)).status_code == 201


@pytest.mark.parametrize("payment_id", ["01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e3f", "x", "1"])
async def test_a_payment_that_does_not_exist_is_not_reversed(
    client: TestClientProtocol, payment_id: str
) -> None:
    assert await code_of(await reverse(client, payment_id)) == (404, "payment_not_found")
    answer = await client.get(f"/payments/{payment_id}/reversals")
    assert await code_of(answer) == (404, "payment_not_found")
    answer = await client.get(f"/reversals/{payment_id}")
    assert await code_of(answer) == (404, "reversal_not_found")


ODD_AMOUNTS: list[Any] = [True, [], {}, "NaN", "1e999999999", "1e15"]
ODD_METADATA: list[Any] = [None, [], {"k": 1}, {"": ""}, {"k": "\0"}]
BODIES: list[tuple[dict[str, Any], str]] = [
    *(({"amount": amount}, "amount") for amount in ("0", 0, "-1", "1.001", "1e-3", "x", "", None)),
    *(({"amount": amount}, "amount") for amount in ODD_AMOUNTS),
    *(({"reason": reason}, "reason") for reason in ("", " ", None, 7, "r" * 501, "\0", "\ud800")),
    *(({"reference": text}, "reference") for text in ("", None, "a//b", "r" * 36, "é")),
    *(({"metadata": value}, "metadata") for value in ODD_METADATA),
    ({"currency": "USD"}, "currency"),
    ({"metadata": {"Order": "1", "order": "2"}}, "metadata"),
]


@pytest.mark.parametrize(("body", "field"), BODIES, ids=str)
async def test_a_wrong_field_is_named_and_nothing_is_stored(
    client: TestClientProtocol, sql: Sql, paid: Stored, body: dict[str, Any], field: str
) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    data = json.dumps({"reason": "r"} | body)
    path = f"/payments/{paid.id}/reversals"
    answer = await client.post(path, data=data, headers=headers)
    problem = await answer.get_json()
    assert (answer.status_code, problem["code"]) == (422, "validation_error")
    assert [error["field"] for error in problem["errors"]] == [field]
    assert tuple(await sql.fetchrow(STORED) or ()) == (0, 0)


async def test_a_reversal_needs_a_key_and_a_reason(
    client: TestClientProtocol, paid: Stored
) -> None:
    path = f"/payments/{paid.id}/reversals"
    answer = await client.post(path, json={"reason": "r"})
    assert await code_of(answer) == (400, "idempotency_key_missing")
    answer = await client.post(path, json={}, headers={"Idempotency-Key": "k"})
    assert await code_of(answer) == (422, "validation_error")


@pytest.mark.parametrize(("currency", "amount"), [("JPY", "1.0"), ("BHD", "1.0001")])
async def test_an_amount_has_the_decimals_of_the_payment(
    client: TestClientProtocol, sql: Sql, worker_url_of_database: str, currency: str, amount: str
) -> None:
    (payment,) = await add_payments(sql, [("a", "10", currency)])
    await settle(sql, worker_url_of_database)
    refused = await reverse(client, payment, amount=amount.replace("0", "1"))
    assert refused.status_code == 422
    whole = await (await reverse(client, payment)).get_json()
    assert Decimal(whole["amount"]) == 10
