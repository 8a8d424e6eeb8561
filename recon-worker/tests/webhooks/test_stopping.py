"""A stop of the sender: attempts that end are recorded, the rest is handed back."""

import asyncio

import pytest

from testkit.database.sql import Sql
from testkit.network.receiver import (
    Received,
    Receiver,
    answer,
    hang,
)
from testkit.waiting import until

from .conftest import NewEndpoint, Sending, settle, until_statuses

pytestmark = pytest.mark.usefixtures("quick_retries")


async def test_a_stop_hands_back_what_is_not_sent_without_using_up_an_attempt(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    await new_endpoint()
    await settle(sql, worker_url_of_database, 5)
    receiver.behave = hang
    async with sending(drain_seconds=0.1):

        async def all_hang() -> bool:
            return len(receiver.received) == 5

        await until(all_hang)
    rows = await sql.fetch(
        "SELECT attempts, lease_token, next_attempt_at <= now() FROM webhook_deliveries"
    )
    assert [tuple(row) for row in rows] == [(0, None, True)] * 5


async def test_a_stop_records_the_attempts_that_end_meanwhile(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    await new_endpoint()
    await settle(sql, worker_url_of_database, 5)

    async def slow(request: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        writer.write(answer(200))

    receiver.behave = slow
    async with sending():

        async def all_sent() -> bool:
            return len(receiver.received) == 5

        await until(all_sent)
    await until_statuses(sql, delivered=5)
    assert len(receiver.received) == 5
