"""An account's statement: every entry once, newest first, in pages bound to the account."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from quart.typing import TestClientProtocol

from testkit.database.sql import Sql
from testkit.waiting import until

from .conftest import START, get_ok, post_entries


@pytest.mark.parametrize("limit", [1, 2, 3, 9, 10, 11])
async def test_a_statement_lists_every_entry_once_newest_first(
    client: TestClientProtocol, sql: Sql, limit: int
) -> None:
    await post_entries(sql, "acc_1", [(START, Decimal(n)) for n in range(1, 11)])
    seqs: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = await get_ok(client, "/accounts/acc_1/entries", limit=limit, **cursor)
        assert 1 <= len(page["entries"]) <= limit
        seqs += [entry["accountSeq"] for entry in page["entries"]]
        if page["nextCursor"] is None:
            break
        cursor = {"cursor": page["nextCursor"]}
    assert seqs == list(range(10, 0, -1))


async def test_a_statement_is_complete_while_payments_arrive(
    client: TestClientProtocol, start_worker: Callable[..., Any]
) -> None:
    await start_worker()

    paid = 0

    async def pay(count: int) -> None:
        nonlocal paid
        items = [
            {"idempotencyKey": f"{paid + n}", "accountId": "acc_1", "amount": 1}
            for n in range(count)
        ]
        paid += count
        await client.post("/payments/batch", json={"payments": items})

        async def is_in_balance() -> bool:
            balance = (await get_ok(client, "/accounts/acc_1/balance"))["balance"]
            return Decimal(balance) == paid

        await until(is_in_balance)

    await pay(20)
    seqs: list[int] = []
    balances: list[Decimal] = []
    cursor: dict[str, str] = {}
    while True:
        page = await get_ok(client, "/accounts/acc_1/entries", limit=6, **cursor)
        seqs += [entry["accountSeq"] for entry in page["entries"]]
        balances += [Decimal(entry["balanceAfter"]) for entry in page["entries"]]
        if page["nextCursor"] is None:
            break
        cursor = {"cursor": page["nextCursor"]}
        await pay(3)
    assert seqs == list(range(20, 0, -1))
    assert balances == [Decimal(seq) for seq in seqs]


async def test_a_statements_cursor_is_bound_to_its_account_and_currency(
    client: TestClientProtocol, sql: Sql
) -> None:
    for account in ("acc_1", "acc_2"):
        await post_entries(sql, account, [(START, Decimal("1.00"))] * 3)
    cursor = (await get_ok(client, "/accounts/acc_1/entries", limit=1))["nextCursor"]
    for address in (
        f"/accounts/acc_2/entries?cursor={cursor}",
        f"/accounts/acc_1/entries?currency=EUR&cursor={cursor}",
        f"/payments?cursor={cursor}",
    ):
        answer = await client.get(address)
        assert answer.status_code == 400
        assert (await answer.get_json())["code"] == "invalid_cursor"
