"""The event stream reports every change; missed ones are sent again or replaced by a resync."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from payments_api.events import routes as events
from payments_core.queue.notify import PAYMENTS_CHANNEL
from testkit.database.sql import Sql

from .conftest import feed_of, open_stream, until_true


async def create_payment(served: Any, **fields: Any) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=served.url) as http:
        answer = await http.post(
            "/payments",
            json={"accountId": "acc_1", "amount": "1.00"} | fields,
            headers={"Idempotency-Key": str(uuid4())},
        )
    assert answer.status_code == 201
    payment: dict[str, Any] = answer.json()
    return payment


async def test_a_stream_opens_at_once_and_forbids_buffering(served: Any) -> None:
    async with open_stream(served) as stream:
        assert await stream.block() == {"retry": "1000", "": "connected"}
        headers = stream.response.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert headers["cache-control"] == "no-store"
        assert headers["x-accel-buffering"] == "no"


async def test_each_change_of_a_payment_is_an_event_with_the_lists_data(
    settled: Any, start_worker: Callable[..., Any]
) -> None:
    async with open_stream(settled) as stream:
        await stream.block()
        made = await create_payment(settled, amount="7.13", description="é\n\ndata: x")
        told = await stream.event()
        event_id = told.pop("eventId")
        unsettled: dict[str, Any] = {"settledAt": None, "discrepancyAmount": None}
        unsettled |= {"reversedAmount": "0.00", "deadLetter": False}
        assert told == made | unsettled
        await start_worker()
        told = await stream.event()
        assert told["eventId"] != event_id
        assert (told["id"], told["status"]) == (made["id"], "completed")
        assert told["discrepancyAmount"] == "0.13"
        async with httpx.AsyncClient(base_url=settled.url) as http:
            (listed,) = (await http.get("/payments")).json()["payments"]
        assert told == listed | {"eventId": told["eventId"]}


async def test_a_replay_causes_no_event(settled: Any) -> None:
    async with open_stream(settled) as stream, httpx.AsyncClient(base_url=settled.url) as http:
        await stream.block()
        for _ in range(3):
            await http.post(
                "/payments",
                json={"accountId": "acc_1", "amount": 1},
                headers={"Idempotency-Key": "k"},
            )
        last = await create_payment(settled)
        await stream.event()
        assert (await stream.event())["id"] == last["id"]


async def test_an_accounts_stream_excludes_other_accounts(settled: Any) -> None:
    async with open_stream(settled, "?accountId=mine") as stream:
        await stream.block()
        for account in ("other", "mine-too", "mine"):
            await create_payment(settled, accountId=account)
        assert (await stream.event())["accountId"] == "mine"


async def test_a_returning_reader_gets_missed_events(settled: Any) -> None:
    async with open_stream(settled) as stream:
        await stream.block()
        await create_payment(settled)
        seen = (await stream.event())["eventId"]
    await until_true(lambda: feed_of(settled).readers == 0)
    missed = []
    for _ in range(3):
        missed.append((await create_payment(settled))["id"])
        await asyncio.sleep(0.05)
    async with open_stream(settled, **{"Last-Event-ID": seen}) as stream:
        assert [(await stream.event())["id"] for _ in range(3)] == missed
        another = await create_payment(settled)
        assert (await stream.event())["id"] == another["id"]


@pytest.mark.parametrize(
    "last_event_id",
    ["deadbeef-1", "nonsense", "-", "{epoch}-999999", "{epoch}-x", "{epoch}-" + "9" * 80],
)
async def test_an_unknown_event_id_causes_a_resync(settled: Any, last_event_id: str) -> None:
    await create_payment(settled)
    epoch = feed_of(settled)._epoch
    sent = last_event_id.replace("{epoch}", epoch)
    async with open_stream(settled, **{"Last-Event-ID": sent}) as stream:
        assert set(await stream.event("resync")) == {"eventId"}


async def test_a_restart_causes_a_resync(settled: Any, serve_api: Any) -> None:
    async with open_stream(settled) as stream:
        await stream.block()
        await create_payment(settled)
        seen = (await stream.event())["eventId"]
    again = await serve_api()
    async with open_stream(again, **{"Last-Event-ID": seen}) as stream:
        await stream.event("resync")


async def test_too_many_changes_cause_one_resync(settled: Any, sql: Sql) -> None:
    items = [{"idempotencyKey": f"k{n}", "accountId": "a", "amount": 1} for n in range(600)]
    async with open_stream(settled) as stream, httpx.AsyncClient(base_url=settled.url) as http:
        await stream.block()
        await http.post("/payments/batch", json={"payments": items})
        block = await stream.block()
        assert block["event"] == "resync"


async def test_a_lost_listen_connection_causes_a_resync_on_the_open_stream(
    settled: Any, sql: Sql
) -> None:
    async with open_stream(settled) as stream:
        await stream.block()
        await sql.execute(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity"
            " WHERE application_name = 'payments-api-listen'"
        )
        await stream.event("resync")
        made = await create_payment(settled)
        assert (await stream.event())["id"] == made["id"]


async def test_a_silent_stream_sends_heartbeats(
    settled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.05)
    async with open_stream(settled) as stream:
        await stream.block()
        assert await stream.block() == {"": "still here"}
        assert await stream.block() == {"": "still here"}


@pytest.mark.parametrize("query", ["?accountId=", "?accountId=a%20b", "?status=pending"])
async def test_an_invalid_stream_request_is_rejected(served: Any, query: str) -> None:
    async with httpx.AsyncClient(base_url=served.url) as http:
        refused = await http.get(f"/payments/events{query}")
    assert (refused.status_code, refused.json()["code"]) == (422, "validation_error")


GARBAGE = [
    "garbage",
    "'; DROP TABLE payments; --",
    "{}",
    "0" * 31,
    "\u202e\U0001f4a5",
    "\x01" * 7_999,
]


@pytest.mark.parametrize("role", ["payments_api", "payments_worker", "payments_readonly"])
async def test_a_malformed_notice_causes_a_resync(
    settled: Any, database_url: str, caplog: pytest.LogCaptureFixture, role: str
) -> None:
    other = await asyncpg.connect(database_url.replace("postgres@", f"{role}@"))
    try:
        async with open_stream(settled) as stream:
            await stream.block()
            for payload in GARBAGE:
                await other.execute("SELECT pg_notify($1, $2)", PAYMENTS_CHANNEL, payload)
            await stream.event("resync")
            paid = await create_payment(settled)
            assert (await stream.event())["id"] == paid["id"], "the feed goes on"
    finally:
        await other.close()
    assert caplog.messages.count("notices_malformed") == 1, "one line for all of them"
    assert not [record for record in caplog.records if record.exc_info]
