"""From the event log to a receiver: on real Postgres, over real HTTP."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import transaction
from payments_core.webhooks import resending
from payments_core.webhooks.endpoints import delete_endpoint, rotate_secret
from recon_worker.webhooks import claims
from recon_worker.webhooks.fan_out import fan_out
from testkit.database.ledgers.settled import settle_four
from testkit.database.sql import Sql
from testkit.network.receiver import (
    Received,
    Receiver,
    always,
    answer,
    assert_signed,
)
from testkit.waiting import until

from .conftest import OPERATOR, NewEndpoint, Sending, log_of, settle, until_statuses

pytestmark = pytest.mark.usefixtures("quick_retries")


async def test_each_event_arrives_signed_in_the_shape_of_standard_webhooks(
    sql: Sql,
    engine: AsyncEngine,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    endpoint = await new_endpoint()
    await settle_four(sql, worker_url_of_database)
    async with sending():
        await until_statuses(sql, delivered=4)
    events = {event["id"]: event for event in await log_of(engine)}
    assert {one.event_id for one in receiver.received} == events.keys()
    assert len(receiver.received) == 4
    for request in receiver.received:
        assert_signed(request, endpoint.secret)
        assert request.headers["content-type"] == "application/json"
        event = events[request.event_id]
        body = json.loads(request.body)
        assert body == {
            "type": event["type"],
            "timestamp": event["createdAt"],
            "data": event["data"],
            "id": event["id"],
        }
    assert await sql.fetchval("SELECT position FROM webhook_cursor") == 4


async def test_an_attempt_has_the_databases_time_whatever_the_workers_clock(
    sql: Sql,
    worker_url_of_database: str,
    monkeypatch: pytest.MonkeyPatch,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    """A receiver refuses a signature of another time, so a clock that is off would stop all."""
    an_hour_ago = claims.CLAIM.replace(
        "now() AS claimed_at", "now() - interval '1 h' AS claimed_at"
    )
    monkeypatch.setattr(claims, "CLAIM", an_hour_ago)
    await new_endpoint()
    await settle(sql, worker_url_of_database, 1)
    async with sending():
        await until_statuses(sql, delivered=1)
    [request] = receiver.received
    signed_at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    started_at = await sql.fetchval("SELECT started_at FROM webhook_attempts")
    for at in (signed_at, started_at):
        assert await sql.fetchval("SELECT $1 < now() - interval '50 min'", at)


async def test_attempts_repeat_the_body_byte_for_byte_under_one_id(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    endpoint = await new_endpoint()
    await settle(sql, worker_url_of_database, 1)

    async def fail_twice(request: Received, writer: asyncio.StreamWriter) -> None:
        status = 500 if len(receiver.received) < 3 else 204
        writer.write(answer(status, b"nope" if status == 500 else b""))

    receiver.behave = fail_twice
    async with sending():
        await until_statuses(sql, delivered=1)
    assert len(receiver.received) == 3
    assert len({(one.event_id, one.body) for one in receiver.received}) == 1
    for request in receiver.received:
        assert_signed(request, endpoint.secret)
    rows = await sql.fetch("SELECT number, status_code, answer FROM webhook_attempts ORDER BY 1")
    assert [tuple(row) for row in rows] == [(1, 500, "nope"), (2, 500, "nope"), (3, 204, "")]


async def test_three_days_of_failures_end_in_a_failed_delivery_that_can_be_resent(
    sql: Sql,
    engine: AsyncEngine,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    endpoint = await new_endpoint()
    await settle(sql, worker_url_of_database, 2)
    receiver.behave = always(answer(500))
    async with sending():
        await until_statuses(sql, pending=2)
        await sql.execute("UPDATE webhook_deliveries SET give_up_at = now()")
        await until_statuses(sql, failed=2)
        receiver.behave = always(answer(200))
        since = await sql.fetchval("SELECT now() - interval '1 hour'")
        async with transaction(engine) as tx:
            assert await resending.resend_failed(tx, endpoint.id, None, since, OPERATOR) == 2
        await until_statuses(sql, delivered=2)
        delivery: UUID = await sql.fetchval("SELECT id FROM webhook_deliveries LIMIT 1")
        seen = len(receiver.received)
        async with transaction(engine) as tx:
            await resending.resend(tx, delivery, None, OPERATOR)

        async def again() -> bool:
            return len(receiver.received) == seen + 1

        await until(again)
        await until_statuses(sql, delivered=2)
    assert len({(one.event_id, one.body) for one in receiver.received}) == 2


async def test_both_secrets_sign_after_a_rotation_and_the_former_until_its_end(
    sql: Sql,
    engine: AsyncEngine,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    endpoint = await new_endpoint()
    async with transaction(engine) as tx:
        _, second = await rotate_secret(tx, endpoint.id, None, OPERATOR, timedelta(hours=1))
        await resending.send_test(tx, endpoint.id, None, OPERATOR)
    async with sending():
        await until_statuses(sql, delivered=1)
        assert_signed(receiver.received[0], endpoint.secret, second)
        assert len(receiver.received[0].headers["webhook-signature"].split(" ")) == 2
        await sql.execute("UPDATE webhook_secrets SET expires_at = now() WHERE expires_at > now()")
        async with transaction(engine) as tx:
            await resending.send_test(tx, endpoint.id, None, OPERATOR)
        await until_statuses(sql, delivered=2)
    assert_signed(receiver.received[1], second)
    assert len(receiver.received[1].headers["webhook-signature"].split(" ")) == 1
    assert json.loads(receiver.received[1].body)["type"] == "webhook.test"


async def test_nothing_more_is_sent_to_a_deleted_endpoint(
    sql: Sql,
    engine: AsyncEngine,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    endpoint = await new_endpoint()
    await settle(sql, worker_url_of_database, 3)
    await fan_out(engine)
    async with transaction(engine) as tx:
        await delete_endpoint(tx, endpoint.id, None, OPERATOR)
    async with sending():
        await asyncio.sleep(0.5)
    assert receiver.received == []
