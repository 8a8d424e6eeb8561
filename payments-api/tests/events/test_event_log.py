"""GET /events: every settlement and dead letter once, in one order, even if it commits late."""

from typing import Any
from uuid import UUID

import pytest
from quart.typing import TestClientProtocol
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db import event_log as log
from payments_core.db.engine import single_statement
from payments_core.domain.events import EVENTS_KEPT_DAYS
from payments_core.queue.jobs import ClaimedJob, claim, new_lease, retry_or_bury
from payments_core.queue.maintenance import prune_deaths, rescue_expired
from testkit.database.backlog import add_payments
from testkit.database.ledgers.settled import FAST, settle_four, until_all_settled
from testkit.database.reversals import add_reversal
from testkit.database.sql import Sql
from testkit.worker.own_system import running_worker

from .conftest import idempotency, read_events_page

ENTRY = "SELECT account_seq FROM ledger_entries WHERE"


async def read_all_events(client: TestClientProtocol, limit: int) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    page = await read_events_page(client, limit=limit)
    for _ in range(1_000):
        events += page["events"]
        if not page["hasMore"]:
            return events
        page = await read_events_page(client, limit=limit, after=page["nextAfter"])
    raise AssertionError("the list does not end")


async def bury_one(sql: Sql, engine: AsyncEngine) -> UUID:
    """Let a payment's job become a dead letter; return the payment's id."""
    await add_payments(sql, [("d", "1", "USD")])
    return (await bury(sql, engine)).payment_id


async def bury(sql: Sql, engine: AsyncEngine) -> ClaimedJob:
    """Let the only pending job fail in its last attempt."""
    await sql.execute("UPDATE recon_jobs SET max_attempts = 1 WHERE status = 'pending'")
    lease = new_lease("w", 60)
    async with single_statement(engine) as connection:
        [job] = await claim(connection, lease, 1)
        assert await retry_or_bury(connection, lease, job, "boom") == "failed"
    return job


async def test_every_settlement_is_an_event_in_its_order(
    client: TestClientProtocol, sql: Sql, worker_url_of_database: str
) -> None:
    await settle_four(sql, worker_url_of_database)
    page = await read_events_page(client)
    assert [event["type"] for event in page["events"]] == [
        *["payment.completed"] * 3,
        "payment.failed",
    ]
    assert page["hasMore"] is False
    for event in page["events"]:
        payment = await (await client.get(f"/payments/{event['data']['id']}")).get_json()
        assert event["id"] == "evt_" + payment["id"].replace("-", "")
        data = dict(event["data"])
        outcome = data.pop("reconciliation")
        assert data.pop("accountSeq") == await sql.fetchval(
            f"{ENTRY} entry_type = 'payment' AND payment_id = $1", payment["id"]
        )
        assert data == {name: payment[name] for name in data}
        assert outcome == {name: payment["reconciliation"][name] for name in outcome}
        assert event["createdAt"] == payment["reconciliation"]["createdAt"]


async def test_reversals_are_events_of_the_same_log(
    client: TestClientProtocol, sql: Sql, engine: AsyncEngine, worker_url_of_database: str
) -> None:
    first, *_ = await settle_four(sql, worker_url_of_database)
    position = (await read_events_page(client, after="latest"))["nextAfter"]
    completed = await add_reversal(sql, first, "1")
    async with running_worker(worker_url_of_database, **FAST):
        await until_all_settled(sql)
    discarded = await add_reversal(sql, first, "2")
    dead = await bury(sql, engine)
    assert dead.reversal_id == discarded
    body = {"actor": "ann", "reason": "by mistake"}
    assert (await client.post(f"/jobs/{dead.id}/discard", json=body)).status_code == 200
    events = (await read_events_page(client, after=position))["events"]
    assert [event["type"] for event in events] == [
        *("reversal.completed", "job.dead", "reversal.failed"),
    ]
    death = events[1]["data"]
    assert (death["paymentId"], death["reversalId"], death["attempts"]) == (
        *(str(first.id), str(discarded), 1),
    )
    for event, reversal_id in ((events[0], completed), (events[2], discarded)):
        reversal = await (await client.get(f"/reversals/{reversal_id}")).get_json()
        assert event["id"] == f"evt_{reversal_id.hex}"
        data = dict(event["data"])
        outcome = data.pop("reconciliation")
        assert data.pop("accountSeq") == await sql.fetchval(
            f"{ENTRY} entry_type = 'reversal' AND reversal_id = $1", reversal_id
        )
        assert data == {name: reversal[name] for name in data}
        assert outcome["notes"] == reversal["notes"]
    for event in events:
        assert (await read_events_page(client, after=position, types=event["type"]))["events"] == [
            event
        ]


@pytest.mark.parametrize("limit", [1, 2, 3, 200])
async def test_pages_of_any_size_list_the_same_events(
    client: TestClientProtocol, sql: Sql, worker_url_of_database: str, limit: int
) -> None:
    await settle_four(sql, worker_url_of_database)
    whole = (await read_events_page(client, limit=200))["events"]
    assert await read_all_events(client, limit) == whole
    assert len(whole) == 4


async def test_a_reader_continues_where_it_stopped(
    client: TestClientProtocol, sql: Sql, engine: AsyncEngine, worker_url_of_database: str
) -> None:
    empty = await read_events_page(client)
    assert empty["events"] == []
    await settle_four(sql, worker_url_of_database)
    page = await read_events_page(client, after=empty["nextAfter"])
    assert len(page["events"]) == 4
    latest = await read_events_page(client, after="latest")
    assert latest["events"] == []
    payment_id = await bury_one(sql, engine)
    for after in (page["nextAfter"], latest["nextAfter"]):
        [event] = (await read_events_page(client, after=after))["events"]
        assert event["type"] == "job.dead"
        assert event["data"]["paymentId"] == str(payment_id)
        assert event["data"]["attempts"] == 1


async def test_events_of_one_type_can_be_listed(
    client: TestClientProtocol, sql: Sql, engine: AsyncEngine, worker_url_of_database: str
) -> None:
    await settle_four(sql, worker_url_of_database)
    await bury_one(sql, engine)
    for name, count in (("payment.completed", 3), ("payment.failed", 1), ("job.dead", 1)):
        events = (await read_events_page(client, types=name))["events"]
        assert [event["type"] for event in events] == [name] * count
    assert len((await read_events_page(client, types="job.dead,payment.failed"))["events"]) == 2


async def test_a_page_without_a_match_advances_the_cursor(
    client: TestClientProtocol,
    sql: Sql,
    worker_url_of_database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await settle_four(sql, worker_url_of_database)
    monkeypatch.setattr(log, "SCANNED_EVENTS_MAX", 2)
    page = await read_events_page(client, types="payment.failed")
    assert (page["events"], page["hasMore"]) == ([], True)
    page = await read_events_page(client, types="payment.failed", after=page["nextAfter"])
    assert [event["type"] for event in page["events"]] == ["payment.failed"]


async def test_a_job_whose_last_lease_expires_is_an_event(
    client: TestClientProtocol, sql: Sql, engine: AsyncEngine
) -> None:
    await client.post("/payments", json={"accountId": "a", "amount": 1}, headers=idempotency("k"))
    await sql.execute("UPDATE recon_jobs SET max_attempts = 1")
    async with single_statement(engine) as connection:
        await claim(connection, new_lease("w", -1), 1)
        assert await rescue_expired(connection) == (0, 1)
    [event] = (await read_events_page(client))["events"]
    assert event["type"] == "job.dead"


async def test_a_retry_is_not_an_event(client: TestClientProtocol, engine: AsyncEngine) -> None:
    await client.post("/payments", json={"accountId": "a", "amount": 1}, headers=idempotency("k"))
    async with single_statement(engine) as connection:
        lease = new_lease("w", 60)
        [job] = await claim(connection, lease, 1)
        assert await retry_or_bury(connection, lease, job, "boom") == "pending"
    assert (await read_events_page(client))["events"] == []


async def test_only_dead_letter_events_past_retention_are_pruned(
    client: TestClientProtocol, sql: Sql, engine: AsyncEngine
) -> None:
    for _ in range(2):
        await bury_one(sql, engine)
    await sql.execute(
        "UPDATE job_deaths SET created_at = now() - make_interval(days => $1, mins => 1)"
        " WHERE id = (SELECT min(id) FROM job_deaths)",
        EVENTS_KEPT_DAYS,
    )
    async with single_statement(engine) as connection:
        assert [await prune_deaths(connection), await prune_deaths(connection)] == [1, 0]
    assert len((await read_events_page(client))["events"]) == 1
