"""Readers of the event stream: bounded, removed when they leave, dropped when they stall."""

import asyncio
from typing import Any

import httpx
import pytest

from payments_api.events.reader import WAITING_EVENTS_MAX, Event, Reader
from payments_core.server import run
from testkit.waiting import WAIT_SECONDS_MAX

from .conftest import feed_of, open_stream, until_true


async def test_a_disconnected_reader_is_removed(settled: Any) -> None:
    for _ in range(3):
        async with open_stream(settled) as stream:
            await stream.block()
            assert feed_of(settled).readers == 1
        await until_true(lambda: feed_of(settled).readers == 0)


async def test_readers_beyond_the_limit_are_rejected(serve_api: Any) -> None:
    served = await serve_api(event_readers_max=1)
    async with open_stream(served) as stream, httpx.AsyncClient(base_url=served.url) as http:
        await stream.block()
        refused = await http.get("/payments/events")
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert refused.headers["content-type"] == "application/problem+json"


async def test_streams_end_when_the_api_stops(serve_api: Any) -> None:
    served = await serve_api(drain_seconds=5.0)
    async with open_stream(served) as stream:
        await stream.block()
        served.lifecycle.stopping.set()
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            async for _ in stream.lines:
                pass
    await asyncio.wait_for(served.ended, 3)


async def test_a_stalled_reader_is_dropped_and_others_continue(
    serve_api: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run, "STALLED_CLIENT_SECONDS_MAX", 1)
    caplog.set_level("INFO")
    settled = await serve_api()
    feed = feed_of(settled)
    _, writer = await asyncio.open_connection("127.0.0.1", settled.port, limit=1024)
    writer.write(b"GET /payments/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await writer.drain()
    await until_true(lambda: feed.readers == 1)
    (slow,) = feed._readers
    async with open_stream(settled) as stream:
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
        await until_true(lambda: slow not in feed._readers)
        await until_true(lambda: "client_dropped" in caplog.messages)
    writer.close()
    assert not [record for record in caplog.records if record.exc_info], "one line, no traceback"


def test_a_readers_queue_is_bounded() -> None:
    reader = Reader(None, "test")
    for n in range(WAITING_EVENTS_MAX * 2):
        reader.offer(Event(f"e-{n}", "payment", {}))
        assert len(reader.waiting) <= WAITING_EVENTS_MAX
    assert reader.dropped
    assert not reader.waiting
