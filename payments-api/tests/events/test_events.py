"""The event stream reports every change; missed ones are sent again or replaced by a resync."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import uuid4

import asyncpg
import httpx
import pytest

from payments_api.events import feed as event_feed
from payments_api.events import routes as events
from payments_api.events.feed import EventFeed
from payments_api.events.reader import WAITING_EVENTS_MAX, Event, Reader
from payments_core.queue.notify import PAYMENTS_CHANNEL
from payments_core.server import run

Sql: TypeAlias = "asyncpg.Connection[Any]"

SECONDS_MAX = 5.0


@dataclass
class Stream:
    """An open stream, read line by line."""

    lines: AsyncIterator[str]
    response: httpx.Response

    async def block(self) -> dict[str, str]:
        """Return the fields up to the next empty line; a comment has the name ''."""
        found: dict[str, str] = {}
        async with asyncio.timeout(SECONDS_MAX):
            async for line in self.lines:
                if not line:
                    return found
                name, _, value = line.partition(":")
                found[name] = value.strip()
        raise EOFError(found)

    async def event(self, name: str = "payment") -> dict[str, Any]:
        """Return the next event with that name; its id is under 'eventId'."""
        while True:
            block = await self.block()
            if block.get("event") == name:
                return {"eventId": block["id"], **json.loads(block["data"])}


@asynccontextmanager
async def _open(served: Any, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    async with (
        httpx.AsyncClient(base_url=served.url, timeout=None) as http,
        http.stream("GET", f"/payments/events{query}", headers=headers) as response,
    ):
        assert response.status_code == 200
        yield Stream(response.aiter_lines(), response)


async def _pay(served: Any, **fields: Any) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=served.url) as http:
        answer = await http.post(
            "/payments",
            json={"accountId": "acc_1", "amount": "1.00"} | fields,
            headers={"Idempotency-Key": str(uuid4())},
        )
    assert answer.status_code == 201
    payment: dict[str, Any] = answer.json()
    return payment


def _feed(served: Any) -> EventFeed:
    feed: EventFeed = served.app.extensions["payments_api"].events
    return feed


async def _until(done: Callable[[], bool]) -> None:
    for _ in range(int(SECONDS_MAX * 100)):
        if done():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"it did not happen within {SECONDS_MAX} s")


async def _listening(sql: Sql) -> None:
    """Wait until the API listens to the database's notifications."""
    for _ in range(int(SECONDS_MAX * 100)):
        if await sql.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'payments-api-listen'"
            " AND query LIKE 'LISTEN%'"
        ):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody listens")


@pytest.fixture
async def settled(serve_api: Any, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the API until after the resync that it sends when it begins to listen."""
    monkeypatch.setattr(event_feed, "RESYNC_PAUSE_SECONDS", 0.05)
    served = await serve_api()
    await _listening(sql)
    await asyncio.sleep(0.15)
    return served


async def test_a_stream_opens_at_once_and_forbids_buffering(served: Any) -> None:
    async with _open(served) as stream:
        assert await stream.block() == {"retry": "1000", "": "connected"}
        headers = stream.response.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert headers["cache-control"] == "no-store"
        assert headers["x-accel-buffering"] == "no"


async def test_each_change_of_a_payment_is_an_event_with_the_lists_data(
    settled: Any, start_worker: Callable[..., Any]
) -> None:
    async with _open(settled) as stream:
        await stream.block()
        made = await _pay(settled, amount="7.13", description="é\n\ndata: x")
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
    async with _open(settled) as stream, httpx.AsyncClient(base_url=settled.url) as http:
        await stream.block()
        for _ in range(3):
            await http.post(
                "/payments",
                json={"accountId": "acc_1", "amount": 1},
                headers={"Idempotency-Key": "k"},
            )
        last = await _pay(settled)
        await stream.event()
        assert (await stream.event())["id"] == last["id"]


async def test_an_accounts_stream_excludes_other_accounts(settled: Any) -> None:
    async with _open(settled, "?accountId=mine") as stream:
        await stream.block()
        for account in ("other", "mine-too", "mine"):
            await _pay(settled, accountId=account)
        assert (await stream.event())["accountId"] == "mine"


async def test_a_returning_reader_gets_missed_events(settled: Any) -> None:
    async with _open(settled) as stream:
        await stream.block()
        await _pay(settled)
        seen = (await stream.event())["eventId"]
    await _until(lambda: _feed(settled).readers == 0)
    missed = []
    for _ in range(3):
        missed.append((await _pay(settled))["id"])
        await asyncio.sleep(0.05)
    async with _open(settled, **{"Last-Event-ID": seen}) as stream:
        assert [(await stream.event())["id"] for _ in range(3)] == missed
        another = await _pay(settled)
        assert (await stream.event())["id"] == another["id"]


@pytest.mark.parametrize(
    "last_event_id",
    ["deadbeef-1", "nonsense", "-", "{epoch}-999999", "{epoch}-x", "{epoch}-" + "9" * 80],
)
async def test_an_unknown_event_id_causes_a_resync(settled: Any, last_event_id: str) -> None:
    await _pay(settled)
    epoch = _feed(settled)._epoch
    sent = last_event_id.replace("{epoch}", epoch)
    async with _open(settled, **{"Last-Event-ID": sent}) as stream:
        assert set(await stream.event("resync")) == {"eventId"}


async def test_a_restart_causes_a_resync(settled: Any, serve_api: Any) -> None:
    async with _open(settled) as stream:
        await stream.block()
        await _pay(settled)
        seen = (await stream.event())["eventId"]
    again = await serve_api()
    async with _open(again, **{"Last-Event-ID": seen}) as stream:
        await stream.event("resync")


async def test_too_many_changes_cause_one_resync(settled: Any, sql: Sql) -> None:
    items = [{"idempotencyKey": f"k{n}", "accountId": "a", "amount": 1} for n in range(600)]
    async with _open(settled) as stream, httpx.AsyncClient(base_url=settled.url) as http:
        await stream.block()
        await http.post("/payments/batch", json={"payments": items})
        block = await stream.block()
        assert block["event"] == "resync"


async def test_a_lost_listen_connection_causes_a_resync_on_the_open_stream(
    settled: Any, sql: Sql
) -> None:
    async with _open(settled) as stream:
        await stream.block()
        await sql.execute(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity"
            " WHERE application_name = 'payments-api-listen'"
        )
        await stream.event("resync")
        made = await _pay(settled)
        assert (await stream.event())["id"] == made["id"]


async def test_a_silent_stream_sends_heartbeats(
    settled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.05)
    async with _open(settled) as stream:
        await stream.block()
        assert await stream.block() == {"": "still here"}
        assert await stream.block() == {"": "still here"}


async def test_a_disconnected_reader_is_removed(settled: Any) -> None:
    for _ in range(3):
        async with _open(settled) as stream:
            await stream.block()
            assert _feed(settled).readers == 1
        await _until(lambda: _feed(settled).readers == 0)


async def test_readers_beyond_the_limit_are_rejected(serve_api: Any) -> None:
    served = await serve_api(event_readers_max=1)
    async with _open(served) as stream, httpx.AsyncClient(base_url=served.url) as http:
        await stream.block()
        refused = await http.get("/payments/events")
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert refused.headers["content-type"] == "application/problem+json"


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
        async with _open(settled) as stream:
            await stream.block()
            for payload in GARBAGE:
                await other.execute("SELECT pg_notify($1, $2)", PAYMENTS_CHANNEL, payload)
            await stream.event("resync")
            paid = await _pay(settled)
            assert (await stream.event())["id"] == paid["id"], "the feed goes on"
    finally:
        await other.close()
    assert caplog.messages.count("notices_malformed") == 1, "one line for all of them"
    assert not [record for record in caplog.records if record.exc_info]


async def test_streams_end_when_the_api_stops(serve_api: Any) -> None:
    served = await serve_api(drain_seconds=5.0)
    async with _open(served) as stream:
        await stream.block()
        served.lifecycle.stopping.set()
        async with asyncio.timeout(SECONDS_MAX):
            async for _ in stream.lines:
                pass
    await asyncio.wait_for(served.ended, 3)


async def test_a_stalled_reader_is_dropped_and_others_continue(
    serve_api: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run, "STALLED_CLIENT_SECONDS_MAX", 1)
    caplog.set_level("INFO")
    settled = await serve_api()
    feed = _feed(settled)
    _, writer = await asyncio.open_connection("127.0.0.1", settled.port, limit=1024)
    writer.write(b"GET /payments/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await writer.drain()
    await _until(lambda: feed.readers == 1)
    (slow,) = feed._readers
    async with _open(settled) as stream:
        await stream.block()
        data = {"id": "x", "description": "d" * 100_000}
        for _ in range(2_000):
            feed._publish("payment", data, "acc_1")
            assert len(slow.waiting) <= WAITING_EVENTS_MAX
            if slow.dropped:
                break
            await asyncio.sleep(0)
        for _ in range(3):
            await stream.block()
        assert slow.dropped
        await _until(lambda: slow not in feed._readers)
        await _until(lambda: "client_dropped" in caplog.messages)
    writer.close()
    assert not [record for record in caplog.records if record.exc_info], "one line, no traceback"


def test_a_readers_queue_is_bounded() -> None:
    reader = Reader(None, "test")
    for n in range(WAITING_EVENTS_MAX * 2):
        reader.offer(Event(f"e-{n}", "payment", {}))
        assert len(reader.waiting) <= WAITING_EVENTS_MAX
    assert reader.dropped
    assert not reader.waiting
