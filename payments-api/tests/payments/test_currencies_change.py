"""ISO 4217 changes: earlier payments are read, listed, replayed and summed as before."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol

from payments_api.events.reader import Reader
from payments_core.domain import money
from testkit.database.backlog import until_completed
from testkit.database.sql import Sql
from testkit.waiting import until

BEFORE = {"HRK": 2, "JPY": 0, "BHD": 3, "USD": 2}
# HRK is withdrawn, JPY gains decimals, BHD loses some.
TODAY = {"JPY": 2, "BHD": 2, "USD": 2}
AMOUNTS = {"HRK": "1.13", "JPY": "100", "BHD": "1.130", "USD": "5.00"}


def _decimals(monkeypatch: pytest.MonkeyPatch, by_code: Mapping[str, int]) -> None:
    monkeypatch.setattr(money, "_decimals_by_code", lambda: dict(by_code))


def _body(currency: str) -> dict[str, str]:
    return {"accountId": "acc_1", "amount": AMOUNTS[currency], "currency": currency}


async def _create(client: TestClientProtocol, currency: str, **headers: str) -> Any:
    key = {"Idempotency-Key": f"key-{currency}"}
    return await client.post("/payments", json=_body(currency), headers={**key, **headers})


@pytest.fixture
async def first_answers(
    client: TestClientProtocol, sql: Sql, start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> dict[str, bytes]:
    """Return the answers to payments in the old currencies; all are settled."""
    _decimals(monkeypatch, BEFORE)
    answers = {currency: await (await _create(client, currency)).get_data() for currency in BEFORE}
    await start_worker()
    await until_completed(sql, len(BEFORE))
    _decimals(monkeypatch, TODAY)
    return answers


@pytest.mark.usefixtures("first_answers")
async def test_stored_money_keeps_its_decimals(
    client: TestClientProtocol,
) -> None:
    listed = (await (await client.get("/payments")).get_json())["payments"]
    assert {p["currency"]: p["amount"] for p in listed} == AMOUNTS
    discrepancies = {p["currency"]: p["discrepancyAmount"] for p in listed}
    assert discrepancies == {"HRK": "0.13", "JPY": None, "BHD": "0.130", "USD": None}
    for payment in listed:
        whole = await (await client.get(f"/payments/{payment['id']}")).get_json()
        amount = AMOUNTS[payment["currency"]]
        assert {whole["amount"], *(leg["amount"] for leg in whole["ledgerEntries"])} == {amount}
        currency = {"currency": payment["currency"]}
        found = await (await client.get("/payments", query_string=currency)).get_json()
        assert [p["id"] for p in found["payments"]] == [payment["id"]]
        balance = await client.get("/accounts/acc_1/balance", query_string=currency)
        assert (await balance.get_json())["balance"] == amount
        entries = await client.get("/accounts/acc_1/entries", query_string=currency)
        assert [e["balanceAfter"] for e in (await entries.get_json())["entries"]] == [amount]


@pytest.mark.parametrize("operator", [{}, {"Payments-Operator": "ann"}])
async def test_a_key_replays_its_payment_byte_for_byte(
    client: TestClientProtocol, sql: Sql, first_answers: dict[str, bytes], operator: dict[str, str]
) -> None:
    for currency, first in first_answers.items():
        again = await _create(client, currency, **operator)
        assert (again.status_code, await again.get_data()) == (201, first)
        assert again.headers["Idempotency-Replayed"] == "true"
    assert await sql.fetchval("SELECT count(*) FROM payments") == len(first_answers)


async def test_a_batch_replays_its_payments(
    client: TestClientProtocol, first_answers: dict[str, bytes]
) -> None:
    items = [{**_body(c), "idempotencyKey": f"key-{c}"} for c in first_answers]
    items.insert(2, {**_body("HRK"), "idempotencyKey": "fresh"})
    answer = await client.post("/payments/batch", json={"payments": items})
    answers = (await answer.get_json())["payments"]
    assert [a["status"] for a in answers] == [201, 201, 422, 201, 201]
    assert [a["replayed"] for a in answers if a["status"] == 201] == [True] * 4


@pytest.mark.usefixtures("first_answers")
async def test_a_new_payment_uses_the_current_list(client: TestClientProtocol, sql: Sql) -> None:
    for body in (_body("HRK"), _body("BHD") | {"amount": "1.234"}):
        # A new key, and a known key with another amount.
        for key in ("fresh", f"key-{body['currency']}"):
            changed = {**body, "amount": "9.999"}
            answer = await client.post("/payments", json=changed, headers={"Idempotency-Key": key})
            assert answer.status_code == 422
            assert (await answer.get_json())["code"] == "validation_error"
    assert await sql.fetchval("SELECT count(*) FROM payments") == len(BEFORE)
    body = _body("JPY") | {"amount": "0.5"}
    answer = await client.post("/payments", json=body, headers={"Idempotency-Key": "fresh"})
    assert (answer.status_code, (await answer.get_json())["amount"]) == (201, "0.50")
    assert await sql.fetchval("SELECT amount FROM payments WHERE idempotency_key = 'fresh'") == (
        Decimal("0.50")
    )


@pytest.mark.usefixtures("first_answers")
async def test_the_feed_reports_payments_in_a_withdrawn_currency(app: Quart, sql: Sql) -> None:
    feed = app.extensions["payments_api"].events
    reader = Reader(None, "test")
    async with feed.registered(reader, None):
        payment_id = await sql.fetchval("SELECT id::text FROM payments WHERE currency = 'HRK'")

        async def told() -> bool:
            feed._notice(payment_id)  # Repeated, because the first resync may replace other events.
            return any(event.name == "payment" for event in reader.waiting)

        await until(told)
        amounts = {event.data["amount"] for event in reader.waiting if event.name == "payment"}
        assert "1.13" in amounts


async def test_an_empty_account_has_zero_with_current_decimals(client: TestClientProtocol) -> None:
    for currency, zero in (("USD", "0.00"), ("JPY", "0"), ("BHD", "0.000"), ("ZZZ", "0")):
        answer = await client.get(f"/accounts/nobody/balance?currency={currency}")
        assert (await answer.get_json())["balance"] == zero
