"""Deliveries of a payment go out in order, those of an endpoint within its share, once each."""

import asyncio
import json

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement, transaction
from recon_worker.webhooks import claims, sender
from recon_worker.webhooks.fan_out import fan_out
from testkit.database.backlog import add_simple
from testkit.database.ledgers.settled import FAST, until_all_settled
from testkit.database.reversals import add_reversal
from testkit.database.sql import Sql
from testkit.network.receiver import (
    Received,
    Receiver,
    answer,
    hang,
)
from testkit.waiting import until
from testkit.worker.own_system import running_worker

from .conftest import NewEndpoint, Sending, settle, until_statuses

pytestmark = pytest.mark.usefixtures("quick_retries")


async def test_a_payments_events_arrive_in_their_order(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    """The first attempts of each payment's first event fail; its reversals wait for it."""
    await new_endpoint()
    stored = await add_simple(sql, 10)
    async with running_worker(worker_url_of_database, **FAST):
        await until_all_settled(sql)
        for _ in range(3):
            for payment in stored:
                await add_reversal(sql, payment, "0.10")
        await until_all_settled(sql)
    failed: set[str] = set()

    async def fail_once(request: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        fails = request.event_id not in failed
        failed.add(request.event_id)
        writer.write(answer(503 if fails else 200))

    receiver.behave = fail_once
    async with sending():
        await until_statuses(sql, delivered=40)
    expected = await sql.fetch(
        "SELECT payment_id, event_id FROM webhook_deliveries ORDER BY position"
    )
    for payment in stored:
        wanted = [row["event_id"] for row in expected if row["payment_id"] == payment.id]
        arrived = [one.event_id for one in receiver.received if one.event_id in wanted]
        assert arrived == [event_id for event_id in wanted for _ in range(2)]
        bodies = [json.loads(one.body) for one in receiver.received if one.event_id in wanted]
        numbers = [body["data"]["accountSeq"] for body in bodies]
        assert numbers == sorted(numbers)
        assert len(set(numbers)) == len(wanted)


async def test_a_delivery_that_failed_for_good_holds_its_payment_no_longer(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    await new_endpoint()
    [payment] = await add_simple(sql, 1)
    async with running_worker(worker_url_of_database, **FAST):
        await until_all_settled(sql)
        await add_reversal(sql, payment, "0.10")
        await until_all_settled(sql)

    async def poison(request: Received, writer: asyncio.StreamWriter) -> None:
        first = json.loads(request.body)["type"] == "payment.completed"
        writer.write(answer(500 if first else 200))

    receiver.behave = poison
    async with sending():

        async def tried_again() -> bool:
            return len(receiver.received) >= 3

        await until(tried_again)
        assert {json.loads(one.body)["type"] for one in receiver.received} == {"payment.completed"}
        await sql.execute("UPDATE webhook_deliveries SET give_up_at = now()")
        await until_statuses(sql, failed=1, delivered=1)


async def test_a_slow_endpoint_delays_no_other(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    """The slow one may not take the places of the other, nor its turn."""
    await new_endpoint("/slow")
    await new_endpoint("/quick")
    receiver.by_path["/slow"] = hang
    await settle(sql, worker_url_of_database, 200)
    async with sending(concurrency=40, drain_seconds=0.1):

        async def quick_done() -> bool:
            return len(receiver.at("/quick")) == 200

        await until(quick_done, 5)
    assert len(receiver.at("/slow")) <= claims.IN_FLIGHT_OF_ONE_MAX


async def test_slow_endpoints_that_fill_every_place_leave_a_quick_one_its_turn(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    """They accept everything, late, so they are never paused."""
    slow, events, places = 12, 10, 16

    async def answer_late(request: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1)
        writer.write(answer(200))

    for number in range(slow):
        await new_endpoint(f"/slow/{number}")
        receiver.by_path[f"/slow/{number}"] = answer_late
    await new_endpoint("/quick")
    await settle(sql, worker_url_of_database, events)
    async with sending(concurrency=places, drain_seconds=0.1):

        async def quick_done() -> bool:
            return len(receiver.at("/quick")) == events

        await until(quick_done)
    sent_slowly = len(receiver.received) - events
    assert sent_slowly <= slow * events / 2


async def test_two_workers_never_send_one_attempt_twice(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    await new_endpoint("/a")
    await new_endpoint("/b")
    await settle(sql, worker_url_of_database, 300)
    async with sending(), sending(), sending():
        await until_statuses(sql, delivered=600)
    for path in ("/a", "/b"):
        sent = [one.event_id for one in receiver.at(path)]
        assert len(sent) == len(set(sent)) == 300


async def test_a_lease_that_expired_lets_another_worker_send(
    sql: Sql,
    engine: AsyncEngine,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    """The late record of the first is rolled back: one delivery, and its own attempts."""
    await new_endpoint()
    await settle(sql, worker_url_of_database, 1)
    await fan_out(engine)
    async with single_statement(engine) as connection:
        [lost] = await claims.claim(connection, {}, 10)
        assert await claims.claim(connection, {}, 10) == []
    await sql.execute("UPDATE webhook_deliveries SET next_attempt_at = now()")
    async with sending():
        await until_statuses(sql, delivered=1)
    late = claims.Attempt(lost, await sql.fetchval("SELECT now()"), 0.1, 500, "", None, "retry")
    async with transaction(engine) as tx:
        assert await claims.record(tx, [late]) == {}
    rows = await sql.fetch("SELECT number, status_code FROM webhook_attempts")
    assert [tuple(row) for row in rows] == [(2, 200)]
    assert await sql.fetchval("SELECT status FROM webhook_deliveries") == "delivered"


async def test_an_attempt_that_begins_too_late_is_left_to_its_lease(
    sql: Sql,
    worker_url_of_database: str,
    monkeypatch: pytest.MonkeyPatch,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    monkeypatch.setattr(sender, "START_SECONDS_MAX", -1.0)
    await new_endpoint()
    await settle(sql, worker_url_of_database, 1)

    async def is_claimed() -> bool:
        return bool(await sql.fetchval("SELECT attempts = 1 FROM webhook_deliveries"))

    async with sending():
        await until(is_claimed)
    assert receiver.received == []
    due = "SELECT next_attempt_at > now() FROM webhook_deliveries WHERE status = 'pending'"
    assert await sql.fetchval(due)
