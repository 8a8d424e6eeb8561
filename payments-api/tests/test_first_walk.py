"""One payment from creation to ledger, through the real app, worker and Postgres."""

from collections.abc import Callable
from typing import Any

from quart.typing import TestClientProtocol

from testkit.waiting import until


async def test_a_payment_is_posted_to_a_balanced_ledger(
    client: TestClientProtocol, start_worker: Callable[..., Any]
) -> None:
    await start_worker()
    created = await client.post(
        "/payments",
        json={"accountId": "acc_1", "amount": "12.34"},
        headers={"Idempotency-Key": "walk"},
    )
    assert created.status_code == 201
    payment = await created.get_json()

    async def is_settled() -> bool:
        detail = await (await client.get(f"/payments/{payment['id']}")).get_json()
        return bool(detail["status"] != "pending")

    await until(is_settled)
    detail = await (await client.get(f"/payments/{payment['id']}")).get_json()
    assert detail["status"] == "completed"
    assert [entry["direction"] for entry in detail["ledgerEntries"]] == ["credit", "debit"]
    balance = await (await client.get("/accounts/acc_1/balance")).get_json()
    assert balance == {
        "accountId": "acc_1",
        "balance": "12.34",
        "currency": "USD",
        "sequence": 1,
        "pending": "0.00",
    }
