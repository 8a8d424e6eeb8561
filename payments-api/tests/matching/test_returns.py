"""A return over HTTP: the line's break proposes the reversal, and its entry matches the line."""

from datetime import UTC, datetime, timedelta
from typing import Any

from quart import Quart
from quart.typing import TestClientProtocol
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import transaction
from payments_core.statements.sources import find_source
from recon_worker.statements.matching.run import run_matching
from testkit.database.ledgers.settled import FAST, until_all_settled
from testkit.database.matching_books import (
    DAY,
    Entry,
    Line,
    add_entries,
    add_source,
    add_statement,
)
from testkit.database.sql import Sql
from testkit.worker.own_system import running_worker

from .conftest import get_ok, run_match

ORDER = {"accountId": "shop", "amount": "30.00", "currency": "EUR", "reference": "INV-7"}


async def _settle(sql: Sql, url: str) -> None:
    async with running_worker(url, clearing_shards=1, **FAST):
        await until_all_settled(sql)


async def _match(engine: AsyncEngine) -> None:
    async with transaction(engine) as tx:
        source = await find_source(tx, "bank", None)
    await run_matching(engine, source, datetime.now(UTC).date() + timedelta(days=1))


async def test_a_return_is_worked_off_from_its_line_to_the_resolved_break(
    client: TestClientProtocol, sql: Sql, engine: AsyncEngine, worker_url_of_database: str
) -> None:
    source = await add_source(sql)
    answer = await client.post("/payments", json=ORDER, headers={"Idempotency-Key": "k1"})
    payment = (await answer.get_json())["id"]
    await _settle(sql, worker_url_of_database)
    returned = Line("-30", "INV-7", return_reason="AC04")
    _, line = await add_statement(sql, source, [Line("30", "INV-7"), returned])
    await _match(engine)

    (listed,) = (await get_ok(client, "/sources/bank/breaks"))["breaks"]
    proposal = listed["proposedReversal"]
    assert proposal == {"paymentId": payment, "amount": "30.00", "reference": "INV-7"}
    assert await sql.fetchval("SELECT count(*) FROM reversals") == 0, "a person decides"
    one, of_line = f"/sources/bank/breaks/{listed['id']}", f"/sources/bank/lines/{line}"
    for path in (one, of_line):
        assert (await get_ok(client, path))["proposedReversal"] == proposal

    body = {"reason": "sent back", **{name: proposal[name] for name in ("amount", "reference")}}
    path = f"/payments/{proposal['paymentId']}/reversals"
    answer = await client.post(path, json=body, headers={"Idempotency-Key": "k2"})
    assert answer.status_code == 201
    waiting = await get_ok(client, one)
    assert (waiting["proposedReversal"], waiting["resolvedAt"]) == (None, None)
    await _settle(sql, worker_url_of_database)
    assert (await get_ok(client, one))["proposedReversal"] is None
    await _match(engine)
    resolved = await get_ok(client, one)
    assert (resolved["proposedReversal"], resolved["resolvedAt"] is None) == (None, False)
    assert (await get_ok(client, of_line))["status"] == "returned"
    assert (await get_ok(client, "/sources/bank/breaks"))["breaks"] == []


async def test_a_tenants_line_never_names_a_payment_of_another_tenant(
    kept: Quart, headers_of: dict[str, dict[str, str]], sql: Sql, engine: AsyncEngine
) -> None:
    source = await add_source(sql, tenant="acme")
    accounts = {"A": "acme~shop", "B": "blue~shop"}
    await add_entries(sql, [Entry("5", name, account=each) for name, each in accounts.items()])
    await add_statement(sql, source, [Line("-5", "A"), Line("-5", "B")])
    await run_match(engine, tenant="acme")
    client, headers = kept.test_client(), headers_of["acme"]
    listed: list[Any] = (await get_ok(client, "/sources/bank/breaks", headers=headers))["breaks"]
    of_debits = {each["reference"]: each for each in listed if each["side"] == "line"}
    payments = {row["reference"]: row["id"] for row in await sql.fetch("SELECT * FROM payments")}
    assert of_debits["A"]["proposedReversal"]["paymentId"] == str(payments["A"])
    assert of_debits["A"]["bookedOn"] == DAY.isoformat()
    assert of_debits["B"]["proposedReversal"] is None
    assert str(payments["B"]) not in str(listed)
