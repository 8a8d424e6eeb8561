"""The health of endpoints: disabled after 410 or five days, paused on request, tried again."""

import asyncio
import json

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from recon_worker.webhooks import client as http
from testkit.database.sql import Sql
from testkit.network.receiver import (
    Receiver,
    always,
    answer,
    hang,
)
from testkit.waiting import until

from .conftest import NewEndpoint, Sending, settle, until_statuses

pytestmark = pytest.mark.usefixtures("quick_retries")


async def test_410_disables_at_once_with_an_event_and_a_record(
    sql: Sql,
    engine: AsyncEngine,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    gone = await new_endpoint("/gone")
    await new_endpoint("/other")
    receiver.by_path["/gone"] = always(answer(410))
    await settle(sql, worker_url_of_database, 1)
    async with sending():
        await until_statuses(sql, failed=1, delivered=2)
        await settle(sql, worker_url_of_database, 1)
        await until_statuses(sql, failed=1, delivered=3)
    assert len(receiver.at("/gone")) == 1
    row = await sql.fetchrow("SELECT * FROM webhook_endpoints WHERE id = $1", gone.id)
    assert row is not None
    assert (row["enabled_at"], row["disabled_reason"]) == (None, "gone")
    events = [json.loads(one.body) for one in receiver.at("/other")]
    [told] = [one["data"] for one in events if one["type"] == "webhook.disabled"]
    assert (told["endpointId"], told["reason"]) == (str(gone.id), "gone")
    recorded = await sql.fetch(
        "SELECT actor, reason, subject FROM operator_actions WHERE action = 'disable_webhook'"
    )
    assert [tuple(one) for one in recorded] == [("recon-worker", "gone", f"webhook {gone.id}")]


async def test_five_days_without_a_success_disable_an_endpoint(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    endpoint = await new_endpoint()
    receiver.behave = always(answer(500))
    await settle(sql, worker_url_of_database, 1)

    async def failing() -> bool:
        return bool(await sql.fetchval("SELECT failing_since FROM webhook_endpoints"))

    async def disabled() -> bool:
        reason = await sql.fetchval("SELECT disabled_reason FROM webhook_endpoints")
        return bool(reason == "failing")

    async with sending():
        await until(failing)
        await sql.execute(
            "UPDATE webhook_endpoints SET failing_since = now() - interval '4 days 23 hours'"
        )
        seen = len(receiver.received)

        async def again() -> bool:
            return len(receiver.received) > seen + 1

        await until(again)
        assert not await disabled()
        await sql.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '5 days'")
        await until(disabled)
        seen = len(receiver.received)
        await asyncio.sleep(0.3)
        assert len(receiver.received) == seen
    assert await sql.fetchval("SELECT reason FROM webhook_disablings") == "failing"
    assert endpoint.id == await sql.fetchval("SELECT endpoint_id FROM webhook_disablings")


async def test_a_success_ends_the_time_of_failing(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    await new_endpoint()
    await settle(sql, worker_url_of_database, 2)
    await sql.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '4 days'")
    async with sending():
        await until_statuses(sql, delivered=2)
    assert await sql.fetchval("SELECT failing_since FROM webhook_endpoints") is None


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_pauses_the_endpoint(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
    status: int,
) -> None:
    await new_endpoint()
    await settle(sql, worker_url_of_database, 1)
    receiver.behave = always(answer(status, b"", "retry-after: 2"))
    async with sending():

        async def asked() -> bool:
            return await sql.fetchval("SELECT paused_until FROM webhook_endpoints") is not None

        await until(asked)
        receiver.behave = always(answer(200))
        await settle(sql, worker_url_of_database, 1)  # Another event waits too.
        await until_statuses(sql, delivered=2)
    first, *later = receiver.received
    assert all(one.at - first.at > 1.9 for one in later)


async def test_a_receiver_that_hangs_is_tried_again(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "ATTEMPT_SECONDS_MAX", 0.3)
    await new_endpoint()
    await settle(sql, worker_url_of_database, 1)
    receiver.behave = hang
    async with sending():

        async def failed() -> bool:
            return bool(await sql.fetchval("SELECT count(*) FROM webhook_attempts"))

        await until(failed)
        receiver.behave = always(answer(200))
        await until_statuses(sql, delivered=1)
    error = await sql.fetchval("SELECT error FROM webhook_attempts WHERE number = 1")
    assert error == "No answer within 0 s."
