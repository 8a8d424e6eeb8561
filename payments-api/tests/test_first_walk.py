"""One payment from creation to ledger, through the real app, worker and Postgres."""

import asyncio
from collections.abc import Callable
from typing import Any

from quart.typing import TestClientProtocol


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

    for _ in range(200):
        detail = await (await client.get(f"/payments/{payment['id']}")).get_json()
        if detail["status"] != "pending":
            break
        await asyncio.sleep(0.02)

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
