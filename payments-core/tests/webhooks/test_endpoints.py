"""Endpoints as the API stores them, with the API's own role."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import transaction
from payments_core.domain.webhooks import ENDPOINTS_MAX, TESTS_PER_HOUR_MAX
from payments_core.webhooks import deliveries, endpoints, resending
from payments_core.webhooks.endpoints import EndpointFields, EndpointRefused
from payments_core.webhooks.shapes import endpoint_json
from testkit.database.sql import Sql

from .conftest import ANN, FIELDS, URL, new


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"url": "http://hooks.example.com"}, "url"),
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"types": ("payment.made",)}, "types"),
        ({"types": ("webhook.test",)}, "types"),
        ({"types": ("payment.failed", "payment.failed")}, "types"),
        ({"description": "x" * 501}, "description"),
        ({"description": "\0"}, "description"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, object], named: str) -> None:
    with pytest.raises(EndpointRefused) as refused:
        EndpointFields(**{"url": URL, **fields})  # type: ignore[arg-type]
    assert refused.value.field == named


async def test_a_secret_is_shown_once_and_cannot_be_read_by_the_api(api: AsyncEngine) -> None:
    async with transaction(api) as tx:
        row, secret = await endpoints.create_endpoint(tx, FIELDS, None, ANN)
        assert endpoint_json(row) == {
            "id": str(row.id),
            "tenant": None,
            "url": URL,
            "types": ["payment.completed"],
            "description": "Shop",
            "enabled": True,
            "disabledReason": None,
            "failingSince": None,
            "previousSecretExpiresAt": None,
            "createdAt": endpoint_json(row)["createdAt"],
        }
        assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    with pytest.raises(DBAPIError, match="permission denied"):
        async with transaction(api) as tx:
            await tx.exec_driver_sql("SELECT secret FROM webhook_secrets")


async def test_another_tenants_endpoint_is_not_found(tx: AsyncConnection) -> None:
    own, other = await new(tx, "acme"), await new(tx, "globex")
    everyones = await new(tx)
    assert [row.id for row in await endpoints.list_endpoints(tx, "acme")] == [own.id]
    assert [row.id for row in await endpoints.list_endpoints(tx, None)] == [
        *(everyones.id, other.id, own.id)
    ]
    sent = await resending.send_test(tx, other.id, "globex", ANN)
    for hidden in (other.id, everyones.id, uuid4()):
        for attempt in (
            endpoints.find_endpoint(tx, hidden, "acme"),
            endpoints.change_endpoint(tx, hidden, "acme", ANN, {"url": URL}),
            endpoints.rotate_secret(tx, hidden, "acme", ANN),
            endpoints.delete_endpoint(tx, hidden, "acme", ANN),
            resending.send_test(tx, hidden, "acme", ANN),
            deliveries.list_deliveries(tx, hidden, "acme", 10),
            resending.resend_failed(tx, hidden, "acme", datetime.now(UTC), ANN),
        ):
            with pytest.raises(endpoints.EndpointNotFound):
                await attempt
    for task in (
        deliveries.find_delivery(tx, sent.id, "acme"),
        resending.resend(tx, sent.id, "acme", ANN),
    ):
        with pytest.raises(deliveries.DeliveryNotFound):
            await task
    assert (await deliveries.find_delivery(tx, sent.id, None)).endpoint_id == other.id


async def test_an_endpoint_is_changed_disabled_and_enabled_on_record(
    api: AsyncEngine, sql: Sql
) -> None:
    async with transaction(api) as tx:
        row = await new(tx)
        given = {"url": "https://other.example.com", "types": (), "description": ""}
        changed = await endpoints.change_endpoint(tx, row.id, None, ANN, given)
        assert (changed.url, changed.types, changed.description) == (
            *("https://other.example.com", [], ""),
        )
        off = await endpoints.change_endpoint(tx, row.id, None, ANN, enabled=False)
        assert (off.enabled_at, off.disabled_reason) == (None, "operator")
        with pytest.raises(endpoints.EndpointDisabled):
            await resending.send_test(tx, row.id, None, ANN)
    async with transaction(api) as tx:
        on = await endpoints.change_endpoint(tx, row.id, None, ANN, enabled=True)
        assert on.disabled_reason is None
        assert on.enabled_at > row.enabled_at
        again = await endpoints.change_endpoint(tx, row.id, None, ANN, enabled=True)
        assert again.enabled_at == on.enabled_at
    query = "SELECT action, actor FROM operator_actions WHERE subject = $1 ORDER BY id"
    recorded = await sql.fetch(query, f"webhook {row.id}")
    actions = ["create_webhook", "change_webhook", "change_webhook", "change_webhook"]
    assert [tuple(one) for one in recorded] == [(action, "ann") for action in actions]


async def test_a_rotation_leaves_two_live_secrets(api: AsyncEngine, sql: Sql) -> None:
    made = []
    async with transaction(api) as tx:
        row, first = await endpoints.create_endpoint(tx, FIELDS, None, ANN)
        made.append(first)
    for hours in (24, 1):
        async with transaction(api) as tx:
            row, secret = await endpoints.rotate_secret(
                tx, row.id, None, ANN, timedelta(hours=hours)
            )
            made.append(secret)
    stored = await sql.fetch(
        "SELECT secret, expires_at FROM webhook_secrets ORDER BY expires_at NULLS FIRST"
    )
    assert [endpoints.secret_text(one["secret"]) for one in stored] == [made[2], made[1]]
    assert stored[0]["expires_at"] is None
    left = stored[1]["expires_at"] - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert row.previous_secret_expires_at == stored[1]["expires_at"]
    with pytest.raises(EndpointRefused):
        async with transaction(api) as tx:
            await endpoints.rotate_secret(tx, row.id, None, ANN, timedelta(days=8))


async def test_a_deleted_endpoint_is_gone_with_its_secrets(api: AsyncEngine, sql: Sql) -> None:
    async with transaction(api) as tx:
        row = await new(tx)
        sent = await resending.send_test(tx, row.id, None, ANN)
        await endpoints.delete_endpoint(tx, row.id, None, ANN)
        assert await endpoints.list_endpoints(tx, None) == []
        with pytest.raises(endpoints.EndpointNotFound):
            await endpoints.find_endpoint(tx, row.id, None)
        with pytest.raises(deliveries.DeliveryNotFound):
            await deliveries.find_delivery(tx, sent.id, None)
    assert await sql.fetchval("SELECT count(*) FROM webhook_secrets") == 0


async def test_a_tenant_has_so_many_endpoints_and_no_more(tx: AsyncConnection) -> None:
    for _ in range(ENDPOINTS_MAX):
        await new(tx, "acme")
    with pytest.raises(endpoints.TooManyEndpoints):
        await new(tx, "acme")
    await new(tx, "globex")


async def test_creations_at_the_same_time_do_not_pass_the_limit(api: AsyncEngine) -> None:
    async with transaction(api) as tx:
        for _ in range(ENDPOINTS_MAX - 1):
            await new(tx, "acme")

    async def create() -> None:
        async with transaction(api) as tx:
            await new(tx, "acme")
            await asyncio.sleep(0.2)

    results = await asyncio.gather(*(create() for _ in range(3)), return_exceptions=True)
    refused = [one for one in results if isinstance(one, endpoints.TooManyEndpoints)]
    assert (len(refused), results.count(None)) == (2, 1)


async def test_an_hour_has_so_many_test_events_of_an_endpoint(api: AsyncEngine, sql: Sql) -> None:
    async with transaction(api) as tx:
        row, other = await new(tx), await new(tx)
        for _ in range(TESTS_PER_HOUR_MAX - 1):
            await resending.send_test(tx, row.id, None, ANN)

    async def send() -> None:
        async with transaction(api) as tx:
            await resending.send_test(tx, row.id, None, ANN)
            await asyncio.sleep(0.2)

    results = await asyncio.gather(*(send() for _ in range(3)), return_exceptions=True)
    refused = [one for one in results if isinstance(one, resending.TooManyTests)]
    assert (len(refused), results.count(None)) == (2, 1)
    assert all(3590 <= one.seconds <= 3600 for one in refused)
    async with transaction(api) as tx:
        await resending.send_test(tx, other.id, None, ANN)
    await sql.execute("UPDATE webhook_deliveries SET created_at = now() - interval '61 minutes'")
    await send()


async def test_the_database_keeps_at_most_two_secrets(sql: Sql, api: AsyncEngine) -> None:
    async with transaction(api) as tx:
        row = await new(tx)
    insert = "INSERT INTO webhook_secrets (endpoint_id, secret) VALUES ($1, sha256('x'))"
    with pytest.raises(asyncpg.UniqueViolationError):
        await sql.execute(insert, row.id)
