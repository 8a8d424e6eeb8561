"""A tenant sees no payment, account, entry or event of another tenant."""

import asyncio
import random
from contextlib import aclosing
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from quart import Quart

from payments_api.events.feed import EventFeed
from payments_api.events.reader import Reader
from payments_api.events.stream import event_stream
from testkit.database.sql import Sql
from testkit.waiting import WAIT_SECONDS_MAX

from .conftest import Keys, Party

pytestmark = pytest.mark.usefixtures("impatient")
ACCOUNTS = ["acc_1", "acc_2", "acme-corp"]
STEPS = 40


async def _listen(kept: Quart, party: Party) -> None:
    feed: EventFeed = kept.extensions["payments_api"].events

    async def never() -> None:
        await asyncio.Event().wait()

    stream = event_stream(feed, Reader(None, "test", party.tenant), None, never, 60)
    async with aclosing(stream) as texts:
        async for text in texts:
            party.heard += text


async def _settle(sql: Sql, start_worker: Any) -> None:
    await start_worker()
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        for pause in iter(lambda: 0.05, None):
            if not await sql.fetchval("SELECT count(*) FROM payments WHERE status = 'pending'"):
                return
            await asyncio.sleep(pause)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_each_tenant_sees_exactly_its_own_data(
    kept: Quart, make_key: Keys, sql: Sql, start_worker: Any, seed: int
) -> None:
    chance = random.Random(seed)
    blue, green, house = [
        Party(kept.test_client(), await make_key(tenant), tenant)
        for tenant in ("blue", "blue-green", None)  # One tenant's name is a prefix of the other's.
    ]
    parties = [blue, green, house]
    listening = [asyncio.create_task(_listen(kept, party)) for party in parties]
    for _ in range(STEPS):
        party = chance.choice(parties)
        amount = chance.choice(["1.00", "2.50", "7.13", "0.00"])
        await party.pay(f"key-{chance.randrange(12)}", chance.choice(ACCOUNTS), amount)
    for party in parties:
        party.foreign = {i for other in parties if other is not party for i in other.ids()}
    await _settle(sql, start_worker)
    for tenant in (blue, green):
        await _assert_sees_own_data(tenant)
        await _assert_sees_nothing_of(tenant, blue if tenant is green else green)
    everything = {i for party in parties for i in party.ids()}
    assert {p["id"] for p in await house.pages("/payments?", "payments")} == everything
    stored = await house.pages("/payments?accountId=blue~acc_1&", "payments")
    assert {p["id"] for p in stored} == set(blue.ids("acc_1"))
    for party in (blue, green):
        party.check(party.heard)
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not all(i in party.heard for i in party.ids()):
                if "resync" in party.heard:
                    break  # Too many changes to report one by one.
                await asyncio.sleep(0.05)
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)


async def _assert_sees_own_data(party: Party) -> None:
    listed = await party.pages("/payments?", "payments")
    assert [p["id"] for p in listed] == party.ids()
    assert all(p["accountId"] in ACCOUNTS for p in listed)
    for query, wanted in (
        ("discrepancy=true", "7.13"),
        ("status=failed", "0.00"),
    ):
        found = await party.pages(f"/payments?{query}&", "payments")
        those = [m["id"] for m in party.made.values() if m["amount"] == wanted]
        assert [p["id"] for p in found] == sorted(those, reverse=True)
    for account in ACCOUNTS:
        found = await party.pages(f"/payments?accountId={account}&", "payments")
        assert [p["id"] for p in found] == party.ids(account)
        posted = [
            m for m in party.made.values() if m["accountId"] == account and Decimal(m["amount"]) > 0
        ]
        _, balance = await party.ask(f"/accounts/{account}/balance")
        assert balance["accountId"] == account
        assert Decimal(balance["balance"]) == sum(Decimal(m["amount"]) for m in posted)
        entries = await party.pages(f"/accounts/{account}/entries?", "entries")
        assert {e["paymentId"] for e in entries} == {m["id"] for m in posted}
        assert [e["accountSeq"] for e in entries] == list(range(len(posted), 0, -1))
        assert {e["id"] for e in entries} <= {None}
        _, history = await party.ask(f"/accounts/{account}/balance-history")
        assert [p["accountSeq"] for p in history["points"]] == list(range(1, len(posted) + 1))
        _, currencies = await party.ask(f"/accounts/{account}/currencies")
        assert currencies == {"currencies": ["USD"] if posted else []}
    held = {m["accountId"] for m in party.made.values() if Decimal(m["amount"]) > 0}
    listed = await party.pages("/accounts?", "accounts")
    assert [account["accountId"] for account in listed] == sorted(held)
    listed = await party.pages("/accounts?prefix=acme&", "accounts")
    assert [account["accountId"] for account in listed] == sorted(held & {"acme-corp"})
    _, told = await party.ask("/accounts/totals")
    assert sum(each["accounts"] for each in told["totals"]) == len(held)
    for filters in ("", "?description=", "?idPrefix=")[: 3 if party.made else 1]:
        value = "" if not filters else "x" if "desc" in filters else party.ids()[0][:13]
        _, told = await party.ask(f"/payments/totals{filters}{value}")
        found = await party.pages(f"/payments{filters or '?'}{value}&", "payments")
        assert sum(each["payments"] for each in told["totals"]) == len(found)
        assert {p["id"] for p in found} <= set(party.ids())
    assert (await party.ask("/payments?deadLetter=true"))[0] == 403
    for key, made in party.made.items():
        status, detail = await party.ask(f"/payments/{made['id']}")
        assert (status, detail["idempotencyKey"]) == (200, key)
        assert detail["accountId"] == made["accountId"]
        _, found = await party.ask(f"/payments?idempotencyKey={quote(key)}")
        assert [p["id"] for p in found["payments"]] == [made["id"]]
        # No tenant may see counts and sums over all tenants.
        assert detail["job"] is None
        for leg in detail["ledgerEntries"]:
            assert leg["id"] is None
            own = leg["entryType"] == "payment"
            assert (leg["accountId"] == made["accountId"]) == own
            assert (leg["balanceAfter"] is not None) == own
            assert (leg["accountSeq"] is not None) == own


async def _assert_sees_nothing_of(party: Party, other: Party) -> None:
    for payment_id in party.foreign:
        assert (await party.ask(f"/payments/{payment_id}"))[0] == 404
    for name in (f"{other.tenant}~acc_1", f"{party.tenant}~acc_1", "sys%3Aclearing~x"):
        assert (await party.ask(f"/payments?accountId={name}"))[0] == 422
        assert (await party.ask(f"/accounts/{name}/balance"))[0] == 422
        assert (await party.ask(f"/accounts?prefix={name}"))[0] == 422
        assert (await party.ask(f"/payments/events?accountId={name}"))[0] == 422
        body = {"accountId": name, "amount": "1.00"}
        answer = await party.ask("/payments", json=body, headers={"Idempotency-Key": "new"})
        assert answer[0] == 422
    # Another tenant's cursor is rejected by every list.
    _, page = await other.ask("/payments?limit=1")
    assert (await party.ask(f"/payments?limit=1&cursor={page['nextCursor']}"))[0] == 400
    _, page = await other.ask("/accounts/acc_1/entries?limit=1")
    if page["nextCursor"] is not None:
        address = f"/accounts/acc_1/entries?limit=1&cursor={page['nextCursor']}"
        assert (await party.ask(address))[0] == 400
    for address in ("/accounts/sys:clearing:USD/balance", "/accounts/sys:clearing:0:USD/balance"):
        status, told = await party.ask(address)
        assert (status, told["balance"]) == (200, "0.00")
    for address in ("/jobs", "/jobs/1", "/jobs/stats", "/jobs/actions", "/workers", "/audit"):
        assert (await party.ask(address))[0] == 403


async def test_a_tenants_pages_use_the_tenants_index(sql: Sql) -> None:
    await sql.execute("SET plan_cache_mode = force_generic_plan")
    await sql.execute(
        """INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount,
                                 currency, description)
           SELECT gen_random_uuid(), 'k' || n, sha256(n::text::bytea),
                  CASE WHEN n % 10 = 0 THEN 'blue~acc' WHEN n % 10 = 1 THEN 'green~acc'
                       ELSE 'acc' END || n, 1, 'USD', '' FROM generate_series(1, 5000) AS n"""
    )
    await sql.execute("ANALYZE payments")
    await sql.execute(
        """PREPARE page (text, uuid) AS SELECT id FROM payments
           WHERE strpos(payments.account_id, '~') > 0
             AND split_part(payments.account_id, '~', 1) = $1 AND id < $2
           ORDER BY id DESC LIMIT 50"""
    )
    top = "'blue', 'ffffffff-ffff-ffff-ffff-ffffffffffff'"
    plan = "\n".join(row[0] for row in await sql.fetch(f"EXPLAIN EXECUTE page ({top})"))
    await sql.execute("DEALLOCATE page")
    assert "payments_by_tenant" in plan, plan
    assert "Sort" not in plan, plan
    entries = await sql.fetchval(
        "SELECT reltuples FROM pg_class WHERE relname = 'payments_by_tenant'"
    )
    assert entries == 1000  # The index excludes payments without a tenant.
