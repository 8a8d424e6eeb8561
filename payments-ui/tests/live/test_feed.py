"""One upstream connection serves every page in bounded memory; no change is missed silently."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from payments_ui.api.types import Payment
from payments_ui.live import feed as live_feed
from payments_ui.live.feed import LiveFeed
from payments_ui.live.sse import Event, EventReader


class Upstream(httpx2.AsyncByteStream):
    """The API's stream, written by the test."""

    def __init__(self) -> None:
        self.chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.asked: list[str | None] = []

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (chunk := await self.chunks.get()) is not None:
            yield chunk

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request.headers.get("Last-Event-ID"))
        return httpx2.Response(200, stream=self)

    def payment(self, number: int, status: str = "pending") -> None:
        data = json.dumps({"id": f"p{number}", "status": status})
        self.chunks.put_nowait(f"id: u-{number}\nevent: payment\ndata: {data}\n\n".encode())


async def render(changed: list[Payment]) -> str:
    return " ".join(f"{payment['id']}:{payment['status']}" for payment in changed)


@asynccontextmanager
async def running_feed(interval_seconds: float = 0.01) -> AsyncIterator[tuple[LiveFeed, Upstream]]:
    upstream = Upstream()
    transport = httpx2.MockTransport(upstream.answer)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api") as http:
        feed = LiveFeed(http, render, interval_seconds, subscribers_max=100)
        task = asyncio.create_task(feed.run())
        await until(lambda: feed.live)
        try:
            yield feed, upstream
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the feed has no event for each condition
            await asyncio.sleep(0.005)


async def take(frames: AsyncIterator[bytes], wanted: int) -> list[Event]:
    """Return the next events of a page's stream, without beats."""
    reader = EventReader()
    events: list[Event] = []
    async with asyncio.timeout(5):
        while len(events) < wanted:
            events += [e for e in reader.feed(await anext(frames)) if e.name != "beat"]
    return events


async def test_a_change_reaches_every_page_over_one_upstream_connection() -> None:
    async with running_feed() as (feed, upstream):
        pages = [feed.frames(feed.position) for _ in range(20)]
        for page in pages:
            assert [event.name for event in await take(page, 1)] == ["state"]
        upstream.payment(1)
        for page in pages:
            [event] = await take(page, 1)
            assert (event.name, event.data) == ("payments", "p1:pending")
        assert len(upstream.asked) == 1


async def test_simultaneous_changes_are_combined_with_the_latest_state() -> None:
    async with running_feed(interval_seconds=0.2) as (feed, upstream):
        page = feed.frames(feed.position)
        upstream.payment(1)
        assert [e.data for e in await take(page, 2)] == ["live", "p1:pending"]
        upstream.payment(2)
        upstream.payment(3)
        upstream.payment(2, "completed")
        [event] = await take(page, 1)
        assert event.data == "p2:completed p3:pending"


async def test_a_returning_page_gets_missed_events() -> None:
    async with running_feed() as (feed, upstream):
        page = feed.frames(feed.position)
        upstream.payment(1)
        last = (await take(page, 2))[-1].id
        await page.aclose()
        upstream.payment(2)
        before = feed.position
        await until(lambda: feed.position != before)
        again = await take(feed.frames(last), 2)
        assert [e.data for e in again] == ["live", "p2:pending"]


@pytest.mark.parametrize("since", [None, "", "elsewhere.3", "x", "{epoch}.999", "{epoch}.-1"])
async def test_a_page_with_an_unknown_event_id_gets_a_resync(since: str | None) -> None:
    async with running_feed() as (feed, _):
        epoch = feed.position.partition(".")[0]
        events = await take(feed.frames(since and since.format(epoch=epoch)), 2)
        assert [event.name for event in events] == ["state", "resync"]


async def test_a_page_too_far_behind_gets_a_resync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_feed, "RING_FRAMES_MAX", 3)
    async with running_feed(interval_seconds=0.001) as (feed, upstream):
        page = feed.frames(feed.position)
        await take(page, 1)
        for number in range(10):
            before = feed.position
            upstream.payment(number)
            await until(lambda before=before: feed.position != before)  # type: ignore[misc]  # mypy cannot infer a lambda with a default.
        events = await take(page, 2)
        assert [event.name for event in events] == ["resync", "state"]
        assert len(feed._ring) == 3


async def test_the_ring_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_feed, "RING_BYTES_MAX", 200)
    async with running_feed(interval_seconds=0.001) as (feed, upstream):
        for number in range(20):
            before = feed.position
            upstream.payment(number)
            await until(lambda before=before: feed.position != before)  # type: ignore[misc]  # mypy cannot infer a lambda with a default.
        assert sum(len(frame.wire) for frame in feed._ring) <= 200


async def test_more_changes_than_a_page_shows_cause_a_resync(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_feed, "ROWS_PER_FRAME_MAX", 5)
    async with running_feed(interval_seconds=0.1) as (feed, upstream):
        page = feed.frames(feed.position)
        upstream.payment(0)
        await take(page, 2)
        for number in range(1, 20):
            upstream.payment(number)
        assert [event.name for event in await take(page, 1)] == ["resync"]


async def test_a_lost_upstream_is_reported_and_resumed_from_its_last_event() -> None:
    async with running_feed() as (feed, upstream):
        page = feed.frames(feed.position)
        upstream.payment(7)
        await take(page, 2)
        upstream.chunks.put_nowait(None)
        events = await take(page, 2)
        assert [(e.name, e.data) for e in events] == [("state", "behind"), ("state", "live")]
        assert upstream.asked == [None, "u-7"]


async def test_a_page_that_reads_nothing_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_feed, "STALLED_SECONDS_MAX", 0.12)
    async with running_feed() as (feed, upstream):
        ended: list[str] = []

        async def stall() -> None:
            try:
                async for _ in feed.frames(feed.position):
                    await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.append("cut off")
                raise

        task = asyncio.create_task(stall())
        await until(lambda: len(feed.subscribers) == 1)
        upstream.payment(1)
        await until(lambda: bool(ended))
        await asyncio.gather(task, return_exceptions=True)


async def test_invalid_upstream_events_end_nothing() -> None:
    async def explode(changed: list[Payment]) -> str:
        if any("bad" in payment for payment in changed):
            raise ValueError("unknown shape")
        return "fine"

    async with running_feed() as (feed, upstream):
        feed.render = explode
        page = feed.frames(feed.position)
        await take(page, 1)
        upstream.chunks.put_nowait(
            b"event: payment\ndata: not json\n\nevent: payment\ndata: []\n\n"
        )
        upstream.chunks.put_nowait(b'event: payment\ndata: {"id": "x", "bad": 1}\n\n')
        assert [event.name for event in await take(page, 1)] == ["resync"]
        upstream.payment(2)
        assert [event.data for event in await take(page, 1)] == ["fine"]


async def test_closing_ends_every_pages_stream() -> None:
    async with running_feed() as (feed, _):
        page: Any = feed.frames(feed.position)
        await take(page, 1)
        feed.close()
        with pytest.raises(StopAsyncIteration):
            await anext(page)
        assert not feed.subscribers
