"""Deliveries as the API stores them: test events, resending, lists."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import transaction
from payments_core.db.keyset import Walk
from payments_core.webhooks import deliveries, resending
from payments_core.webhooks.shapes import attempt_json, delivery_json
from testkit.database.sql import Sql

from .conftest import ANN, new


async def test_a_test_event_is_a_delivery_of_its_own_type(tx: AsyncConnection) -> None:
    row = await new(tx)
    sent = await resending.send_test(tx, row.id, None, ANN)
    shown = delivery_json(sent)
    assert (shown["type"], shown["status"], shown["attempts"]) == ("webhook.test", "pending", 0)
    body = json.loads(sent.body)
    assert list(body) == ["type", "timestamp", "data", "id"]
    assert body["id"] == shown["eventId"]
    assert [d.id for d in await deliveries.list_deliveries(tx, row.id, None, 10)] == [sent.id]


GENUINE = (
    '{"type":"webhook.test","timestamp":"2026-11-28T12:00:00.000000Z",'
    '"data":{"endpointId":"01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e50"},"id":"evt_' + 32 * "0" + '"}'
)


@pytest.mark.parametrize(
    ("event_id", "body"),
    [
        *(
            ("evt_" + 32 * "1", body)
            for body in (
                '{"type":"payment.completed"}',
                '{"type":"webhook.test","type":"payment.completed"}',
                # Readers that take the first of two names, or ignore their case.
                '{"type":"payment.completed","type":"webhook.test"}',
                GENUINE.replace('"}', '","Type":"payment.completed"}'),
                '{"type":"webhook.test","data":{"amount":"1.00"}}',
                GENUINE + " ",
                "[]",
                "not JSON",
            )
        ),
        # The signature of this id and any body is one of the id evt_1 and the body in the id, too.
        ('evt_1.1795867200.{"type":"payment.completed"}', GENUINE),
        ("evt_1", GENUINE),
        ("evt_" + 32 * "1" + "\nx", GENUINE),
    ],
)
async def test_the_api_cannot_have_a_forged_event_signed(
    api: AsyncEngine, event_id: str, body: str
) -> None:
    insert = (
        "INSERT INTO webhook_deliveries (id, endpoint_id, event_id, type, body)"
        " VALUES (gen_random_uuid(), $1, $2, 'webhook.test', $3)"
    )
    async with transaction(api) as tx:
        row = await new(tx)
        await tx.exec_driver_sql(insert, (row.id, "evt_" + 32 * "1", GENUINE))
    with pytest.raises(DBAPIError, match="only_tests_have_no_position"):
        async with transaction(api) as tx:
            await tx.exec_driver_sql(insert, (row.id, event_id, body))


async def finished(
    sql: Sql, endpoint: UUID, status: str, created_at: datetime, position: int
) -> UUID:
    delivery: UUID = await sql.fetchval(
        "INSERT INTO webhook_deliveries (id, endpoint_id, position, event_id, type, body, status,"
        " attempts, created_at, finished_at, give_up_at) VALUES (gen_random_uuid(), $1, $4::bigint,"
        " 'evt_' || $4, 'payment.completed', '{}', $2, 7, $3, now(), now()) RETURNING id",
        endpoint,
        status,
        created_at,
        position,
    )
    return delivery


async def test_a_delivery_is_sent_again_with_new_retries(api: AsyncEngine, sql: Sql) -> None:
    async with transaction(api) as tx:
        row = await new(tx)
    now = datetime.now(UTC)
    delivery = await finished(sql, row.id, "delivered", now, 1)
    await sql.execute(
        "INSERT INTO webhook_attempts (delivery_id, number, duration_seconds, status_code, answer)"
        " VALUES ($1, 6, 0.1, 500, 'no'), ($1, 7, 0.2, 200, 'ok')",
        delivery,
    )
    async with transaction(api) as tx:
        again = await resending.resend(tx, delivery, None, ANN)
        attempts = [attempt_json(row) for row in await deliveries.list_attempts(tx, delivery)]
    assert (again.status, again.attempts, again.earlier_attempts) == ("pending", 7, 7)
    assert again.give_up_at > now + timedelta(days=2, hours=23)
    assert (again.status_code, again.answer) == (200, "ok")
    assert [(one["number"], one["statusCode"]) for one in attempts] == [(6, 500), (7, 200)]


async def test_all_failed_deliveries_since_a_time_are_sent_again(
    api: AsyncEngine, sql: Sql
) -> None:
    async with transaction(api) as tx:
        row, other = await new(tx), await new(tx)
    now = datetime.now(UTC)
    early = await finished(sql, row.id, "failed", now - timedelta(hours=3), 1)
    late = await finished(sql, row.id, "failed", now - timedelta(hours=1), 2)
    await finished(sql, row.id, "delivered", now, 3)
    await finished(sql, other.id, "failed", now, 4)
    async with transaction(api) as tx:
        since = now - timedelta(hours=2)
        assert await resending.resend_failed(tx, row.id, None, since, ANN) == 1
        assert [
            d.id for d in await deliveries.list_deliveries(tx, row.id, None, 9, status="failed")
        ] == [early]
    statuses = await sql.fetch("SELECT id FROM webhook_deliveries WHERE status = 'pending'")
    assert [one["id"] for one in statuses] == [late]


async def test_a_list_continues_behind_a_delivery(tx: AsyncConnection) -> None:
    row = await new(tx)
    sent = [(await resending.send_test(tx, row.id, None, ANN)).id for _ in range(3)]
    page = await deliveries.list_deliveries(tx, row.id, None, 2)
    assert {one.id for one in page} <= set(sent)
    rest = await deliveries.list_deliveries(tx, row.id, None, 2, Walk(page[-1].id))
    assert {one.id for one in (*page, *rest)} == set(sent)
