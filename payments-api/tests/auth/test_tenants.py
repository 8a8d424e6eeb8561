"""A tenant sees no payment, account, entry or event of another tenant."""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias, cast
from urllib.parse import quote, unquote

import asyncpg
import httpx
import pytest
from quart import Quart
from quart.typing import TestClientProtocol

from payments_api.auth import key_cache
from payments_api.auth.caller import JOBS_ADMIN, LEDGER_READ, PAYMENTS_READ, PAYMENTS_WRITE, SCOPES
from payments_api.auth.keys import KeyGrant, add_key, new_key
from payments_api.events.feed import EventFeed
from payments_api.events.reader import Reader, ReaderLimits
from payments_api.events.stream import event_stream
from payments_core.db.engine import create_engine, transaction

Sql: TypeAlias = "asyncpg.Connection[Any]"
Keys: TypeAlias = Callable[..., Awaitable[str]]

SECONDS_MAX = 20.0
ALL_OF_A_TENANT = (PAYMENTS_WRITE, PAYMENTS_READ, LEDGER_READ)
ACCOUNTS = ["acc_1", "acc_2", "acme-corp"]
STEPS = 40


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reload keys often."""
    monkeypatch.setattr(key_cache, "LOOK_AGAIN_SECONDS", 0.05)


@pytest.fixture
async def make_key(database_url: str) -> AsyncIterator[Keys]:
    """Return `await make_key(tenant, *scopes)`: a new key."""
    engine = create_engine(database_url, application_name="test", pool_size=1)

    async def make(tenant: str | None, *scopes: str) -> str:
        key = new_key()
        allowed = scopes or (SCOPES if tenant is None else ALL_OF_A_TENANT)
        async with transaction(engine) as tx:
            await add_key(tx, key, KeyGrant("of a test", frozenset(allowed), tenant))
        return key

    yield make
    await engine.dispose()


@dataclass
class Party:
    """A client with a key, and the exact data that the key must show."""

    client: TestClientProtocol
    key: str
    tenant: str | None
    made: dict[str, dict[str, Any]] = field(default_factory=dict)  # By idempotency key.
    foreign: set[str] = field(default_factory=set)  # Ids created by other tenants.
    heard: str = ""

    async def ask(self, address: str, **more: Any) -> tuple[int, Any]:
        """Send a request; return status and JSON, which must not name another tenant."""
        headers = {"Authorization": f"Bearer {self.key}", **more.pop("headers", {})}
        method = "POST" if "json" in more else "GET"
        answer = await self.client.open(address, method=method, headers=headers, **more)
        text = await answer.get_data(as_text=True)
        # The answer may repeat the request's own values.
        self.check(text.replace(unquote(address.partition("?")[0]), "ASKED"))
        return answer.status_code, json.loads(text)

    def check(self, text: str) -> None:
        """Assert that the answer contains no separator, tenant's name or foreign id."""
        if self.tenant is not None:
            assert "~" not in text, text
            for other in ("blue", "blue-green", "green"):
                assert f'"{other} ' not in text, text
            assert not [found for found in self.foreign if found in text], text

    async def pay(self, key: str, account: str, amount: str) -> None:
        """Create or replay a payment, or be rejected: any of a client's usual requests."""
        body = {"accountId": account, "amount": amount}
        status, told = await self.ask("/payments", json=body, headers={"Idempotency-Key": key})
        before = self.made.get(key)
        if before is None:
            assert (status, told["accountId"]) == (201, account)
            self.made[key] = told
        elif (before["accountId"], before["amount"]) == (account, amount):
            assert (status, told) == (201, before)
        else:
            assert (status, told["code"]) == (422, "idempotency_key_reused")

    async def pages(self, address: str, rows: str) -> list[dict[str, Any]]:
        """Return all rows of a list, read in pages of three."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            _, page = await self.ask(f"{address}limit=3{cursor}")
            found += page[rows]
            if page["nextCursor"] is None:
                return found
            cursor = f"&cursor={page['nextCursor']}"

    def ids(self, account: str | None = None) -> list[str]:
        """Return the ids that the list must contain, newest first."""
        mine = [m["id"] for m in self.made.values() if account in (None, m["accountId"])]
        return sorted(mine, reverse=True)


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
    async with asyncio.timeout(SECONDS_MAX):
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
        async with asyncio.timeout(SECONDS_MAX):
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


async def test_a_batch_belongs_to_the_tenant(kept: Quart, make_key: Keys, sql: Sql) -> None:
    items = [
        {"idempotencyKey": key, "accountId": "acc_1", "amount": "1.00"} for key in ("k", "k", "j")
    ]
    answers = []
    for tenant in ("blue", "green", None):
        party = Party(kept.test_client(), await make_key(tenant), tenant)
        status, told = await party.ask("/payments/batch", json={"payments": items})
        assert status == 200
        assert [item["replayed"] for item in told["payments"]] == [False, True, False]
        assert {item["payment"]["accountId"] for item in told["payments"]} == {"acc_1"}
        answers += [item["payment"]["id"] for item in told["payments"]]
    assert len(set(answers)) == 6
    stored = await sql.fetch("SELECT account_id, idempotency_key FROM payments ORDER BY id")
    assert {tuple(row) for row in stored} == {
        *(("blue~acc_1", "blue k"), ("blue~acc_1", "blue j")),
        *(("green~acc_1", "green k"), ("green~acc_1", "green j")),
        *(("acc_1", "k"), ("acc_1", "j")),
    }


async def test_a_key_without_a_tenant_cannot_write_into_one(kept: Quart, make_key: Keys) -> None:
    house = Party(kept.test_client(), await make_key(None), None)
    body = {"accountId": "blue~acc_1", "amount": "1.00"}
    assert (await house.ask("/payments", json=body, headers={"Idempotency-Key": "k"}))[0] == 422
    body["accountId"] = "acc_1"
    for key in ("blue k", '"blue k"'):
        answer = await house.ask("/payments", json=body, headers={"Idempotency-Key": key})
        assert answer[0] == 400


async def test_the_longest_names_fit_and_longer_ones_are_rejected(
    kept: Quart, make_key: Keys
) -> None:
    tenant = "t" * 32
    party = Party(kept.test_client(), await make_key(tenant), tenant)
    account, key = "a" * 95, "k" * 222
    await party.pay(key, account, "1.00")
    body = {"accountId": "a" * 96, "amount": "1.00"}
    status, told = await party.ask("/payments", json=body, headers={"Idempotency-Key": "k"})
    assert (status, told["code"]) == (422, "validation_error")
    assert "95 characters" in told["detail"]
    body["accountId"] = "acc_1"
    sent = {"Idempotency-Key": "k" * 223}
    status, told = await party.ask("/payments", json=body, headers=sent)
    assert (status, told["code"]) == (400, "idempotency_key_invalid")
    assert "222 characters" in told["detail"]


async def test_entries_within_a_payment_need_the_ledgers_scope(kept: Quart, make_key: Keys) -> None:
    party = Party(kept.test_client(), await make_key(None), None)
    await party.pay("k", "acc_1", "1.00")
    (payment_id,) = party.ids()
    for scopes, wanted in (((PAYMENTS_READ,), None), ((PAYMENTS_READ, LEDGER_READ), [])):
        reader = Party(kept.test_client(), await make_key(None, *scopes), None)
        assert (await reader.ask(f"/payments/{payment_id}"))[1]["ledgerEntries"] == wanted


async def test_a_payments_job_needs_the_operators_scope(
    kept: Quart, make_key: Keys, sql: Sql
) -> None:
    party = Party(kept.test_client(), await make_key(None), None)
    await party.pay("k", "acc_1", "1.00")
    (payment_id,) = party.ids()
    internal = {"last_error": "relation secret_plan", "locked_by": "worker-of-host-7"}
    await sql.execute("UPDATE recon_jobs SET last_error = $1, locked_by = $2", *internal.values())
    for scopes in ((PAYMENTS_READ,), ALL_OF_A_TENANT, (PAYMENTS_READ, JOBS_ADMIN)):
        reader = Party(kept.test_client(), await make_key(None, *scopes), None)
        answers = [await reader.ask(path) for path in (f"/payments/{payment_id}", "/payments")]
        shown = [text in json.dumps(answers) for text in internal.values()]
        assert shown == [JOBS_ADMIN in scopes] * 2, scopes


async def test_a_returning_tenant_learns_nothing_of_other_tenants_events() -> None:
    feed = EventFeed(cast("Any", None), "", ReaderLimits(10, 10, 10))

    def publish(*accounts: str) -> None:
        for account in accounts:
            feed._publish("payment", {"accountId": account}, account)

    async def missed(seen: str, tenant: str = "blue") -> list[dict[str, str]]:
        reader = Reader(None, "test", tenant)
        async with feed.registered(reader, seen):
            texts = [event.as_text(tenant) for event in reader.waiting]
        fields = [dict(line.split(": ", 1) for line in t.strip().splitlines()) for t in texts]
        assert all(re.fullmatch("[0-9a-f]{16}", told["id"]) for told in fields)
        return fields

    publish("green~acc_1")
    (resync,) = await missed("0123456789abcdef")
    assert resync["event"] == "resync"
    assert await missed(resync["id"]) == []
    publish("blue~acc_1", "green~acc_2", "acc_3", "blue~acc_4")
    first, second = await missed(resync["id"])
    assert [json.loads(told["data"]) for told in (first, second)] == [
        {"accountId": "acc_1"},
        {"accountId": "acc_4"},
    ]
    assert await missed(first["id"]) == [second]
    assert [told["event"] for told in await missed(f"{feed._epoch}-1")] == ["resync"]
    # Other tenants' events do not use a tenant's queue.
    publish(*["green~acc_1"] * 300)
    assert await missed(first["id"]) == [second]
    publish(*["blue~acc_1"] * 300)
    assert [told["event"] for told in await missed(first["id"])] == ["resync"]


async def test_a_tenants_stream_reports_only_its_own_payments(
    serve_api: Any, make_key: Keys
) -> None:
    served = await serve_api(auth="on")
    headers = {
        tenant: {"Authorization": f"Bearer {await make_key(tenant)}"}
        for tenant in ("blue", "green")
    }
    async with (
        httpx.AsyncClient(base_url=served.url, timeout=SECONDS_MAX) as http,
        http.stream("GET", "/payments/events", headers=headers["blue"]) as stream,
        asyncio.timeout(SECONDS_MAX),
    ):
        lines = stream.aiter_lines()
        while await anext(lines):  # After the first bytes the reader is registered.
            pass
        made = {}
        for tenant in ("green", "blue"):
            answer = await http.post(
                "/payments",
                json={"accountId": "acc_1", "amount": "1.00"},
                headers={**headers[tenant], "Idempotency-Key": "k"},
            )
            made[tenant] = answer.json()["id"]
        async for line in lines:
            name, _, told = line.partition(": ")
            if name == "data" and told != "{}":  # A resync carries no data.
                break
        payment = json.loads(told)
        assert (payment["id"], payment["accountId"]) == (made["blue"], "acc_1")


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
