"""A tenant's key reverses the tenant's own payments, with the scope for it."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from quart import Quart

from payments_api.auth.caller import LEDGER_READ, PAYMENTS_READ, PAYMENTS_REVERSE, PAYMENTS_WRITE
from payments_api.auth.keys import KeyGrant, add_key, new_key
from payments_core.db.engine import create_engine, transaction
from testkit.database.ledgers.settled import until_all_settled
from testkit.database.sql import Sql
from testkit.paging import read_both_ways

ALL = (PAYMENTS_WRITE, PAYMENTS_REVERSE, PAYMENTS_READ, LEDGER_READ)


class Party:
    """A client with a key."""

    def __init__(self, kept: Quart, key: str) -> None:
        self._client, self._key = kept.test_client(), key

    async def ask(self, path: str, key: str = "k", json: Any = None) -> tuple[int, Any]:
        """Send a request; return status and JSON of the answer."""
        headers = {"Authorization": f"Bearer {self._key}", "Idempotency-Key": key}
        method = "GET" if json is None else "POST"
        answer = await self._client.open(path, method=method, headers=headers, json=json)
        return answer.status_code, await answer.get_json()

    async def pay(self) -> str:
        """Create a payment of 10.00; return its id."""
        _, told = await self.ask("/payments", json={"accountId": "acc_1", "amount": "10.00"})
        return str(told["id"])

    async def reverse(self, payment_id: str, amount: str = "4.00") -> tuple[int, Any]:
        """Reverse a part of a payment."""
        body = {"amount": amount, "reason": "r"}
        return await self.ask(f"/payments/{payment_id}/reversals", json=body)


@pytest.fixture
async def party(kept: Quart, database_url: str) -> AsyncIterator[Callable[..., Any]]:
    """Return `await party(tenant, *scopes)`: a client with a new key."""
    engine = create_engine(database_url, application_name="test", pool_size=1)

    async def make(tenant: str | None, *scopes: str) -> Party:
        key = new_key()
        async with transaction(engine) as tx:
            await add_key(tx, key, KeyGrant("of a test", frozenset(scopes or ALL), tenant))
        return Party(kept, key)

    yield make
    await engine.dispose()


async def test_a_tenant_reverses_and_sees_only_its_own_payments(
    party: Any, sql: Sql, start_worker: Any
) -> None:
    blue, green, house = [await party(tenant) for tenant in ("blue", "green", None)]
    mine, others = await blue.pay(), await green.pay()
    await start_worker()
    await until_all_settled(sql)
    status, created = await blue.reverse(mine)
    assert (status, created["accountId"], created["amount"]) == (201, "acc_1", "4.00")
    assert (await blue.reverse(mine))[1] == created, "a replay"
    for stranger, payment_id in ((blue, others), (green, mine)):
        status, told = await stranger.reverse(payment_id)
        assert (status, told["code"]) == (404, "payment_not_found")
        status, told = await stranger.ask(f"/payments/{payment_id}/reversals")
        assert (status, told["code"]) == (404, "payment_not_found")
    status, told = await green.ask(f"/reversals/{created['id']}")
    assert (status, told["code"]) == (404, "reversal_not_found")
    # The same key in another tenant identifies another reversal.
    status, of_green = await green.reverse(others, "5.00")
    assert (status, of_green["amount"]) == (201, "5.00")
    await until_all_settled(sql)

    status, reversal = await blue.ask(f"/reversals/{created['id']}")
    assert (status, reversal["status"], reversal["idempotencyKey"]) == (200, "completed", "k")
    own, clearing = reversal["ledgerEntries"]
    assert (own["accountId"], own["balanceAfter"]) == ("acc_1", "6.00")
    assert (clearing["id"], clearing["balanceAfter"], clearing["accountSeq"]) == (None, None, None)
    assert (await blue.ask(f"/payments/{mine}/reversals"))[1]["reversals"] == [reversal]
    assert (await blue.ask(f"/payments/{mine}"))[1]["reversedAmount"] == "4.00"
    balance = (await blue.ask("/accounts/acc_1/balance"))[1]
    assert (balance["balance"], balance["pending"], balance["sequence"]) == ("6.00", "0.00", 2)
    (entry, _) = (await blue.ask("/accounts/acc_1/entries"))[1]["entries"]
    assert (entry["paymentId"], entry["reversalId"]) == (mine, created["id"])
    assert (await house.ask(f"/reversals/{created['id']}"))[1]["accountId"] == "blue~acc_1"
    stored = await sql.fetch("SELECT account_id, idempotency_key FROM reversals ORDER BY amount")
    assert [tuple(row) for row in stored] == [
        ("blue~acc_1", "blue k"),
        ("green~acc_1", "green k"),
    ]


async def test_reversals_need_their_scope_and_entries_the_ledgers_scope(
    party: Any, sql: Sql, start_worker: Any
) -> None:
    blue = await party("blue")
    payment_id = await blue.pay()
    await start_worker()
    await until_all_settled(sql)
    writer = await party("blue", PAYMENTS_WRITE, PAYMENTS_READ, LEDGER_READ)
    status, told = await writer.reverse(payment_id)
    assert (status, told["code"]) == (403, "forbidden")
    assert await sql.fetchval("SELECT count(*) FROM reversals") == 0
    reverser = await party("blue", PAYMENTS_REVERSE)
    status, created = await reverser.reverse(payment_id)
    assert status == 201
    assert (await reverser.ask(f"/reversals/{created['id']}"))[0] == 403
    reader = await party("blue", PAYMENTS_READ)
    assert (await reader.ask(f"/reversals/{created['id']}"))[1]["ledgerEntries"] is None


async def test_a_cursor_is_bound_to_the_reversals_of_its_payment(
    party: Any, sql: Sql, start_worker: Any
) -> None:
    blue, house = await party("blue"), await party(None)
    payments = [await blue.pay(), await house.pay()]
    await start_worker()
    await until_all_settled(sql)
    for number in range(3):
        body = {"amount": "1.00", "reason": "r"}
        path = f"/payments/{payments[0]}/reversals"
        assert (await blue.ask(path, key=f"k{number}", json=body))[0] == 201

    async def page_at(at: str) -> Any:
        _, page = await blue.ask(f"/payments/{payments[0]}/reversals?limit=2{at}")
        return page

    listed = [reversal["id"] for reversal in await read_both_ways(page_at, "reversals")]
    assert listed == sorted(listed, reverse=True)
    assert len(listed) == 3
    cursor = (await page_at(""))["nextCursor"]
    status, told = await house.ask(f"/payments/{payments[1]}/reversals?limit=2&cursor={cursor}")
    assert (status, told["code"]) == (400, "invalid_cursor")
