"""The API's event stream, read once and fanned out to every open page.

    payments-api ──one connection──▶ LiveFeed ──ring of frames──▶ subscriber, subscriber ...

Changes are collected for `interval_seconds`, rendered once, and kept as one frame in a ring that
all subscribers read at their own position: memory does not grow with their number. A subscriber
whose position has left the ring refetches; one that stops reading is disconnected.
"""

import asyncio
import json
import logging
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from math import inf
from time import monotonic

import httpx2

from payments_ui.api.connection import STREAM_SILENCE_SECONDS_MAX
from payments_ui.api.types import Payment
from payments_ui.live.sse import Event, EventReader, StreamTooLong, encode_event
from payments_ui.metrics import (
    LIVE_PAGES,
    LIVE_PAGES_CUT_OFF,
    STREAM_CONNECTED,
    STREAM_CONNECTS,
)
from payments_ui.per_app import PerApp

RING_FRAMES_MAX = 240  # Two minutes at two frames a second: a short interruption loses nothing.
RING_BYTES_MAX = 4 << 20  # The bound for large frames.
ROWS_PER_FRAME_MAX = 100  # More than a page shows: refetching is cheaper.
BEAT_SECONDS = 10.0  # Lets a page notice a dead connection.
STALLED_SECONDS_MAX = 30.0  # A page that reads nothing for this long is disconnected.
RECONNECT_SECONDS_MAX = 3.0  # Pages are live again within seconds of an outage's end.

Render = Callable[[list[Payment]], Awaitable[str]]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Frame:
    """Bytes for every subscriber; the number is a position in the stream."""

    number: int
    wire: bytes


@dataclass(eq=False, slots=True)
class Subscriber:
    """An open page: its position, and since when it has been writing a frame."""

    task: asyncio.Task[object] | None
    position: int
    session_id: str | None = None
    subject: str | None = None  # The signed-in person.
    ends_at: float = inf  # On the monotonic clock.
    handed_at: float | None = None


@dataclass
class LiveFeed:
    """The connection to the API's stream and all subscribers of the process."""

    http: httpx2.AsyncClient
    render: Render
    interval_seconds: float
    subscribers_max: int
    subscribers: set[Subscriber] = field(default_factory=set)
    live: bool = False  # Whether the API's stream is connected.
    closing: bool = False
    _epoch: str = field(default_factory=lambda: secrets.token_hex(4))
    _number: int = 0
    _ring: deque[Frame] = field(default_factory=deque)
    _ring_bytes: int = 0
    _changed: dict[str, Payment] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _to_flush: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def full(self) -> bool:
        """Whether the limit of open pages is reached."""
        return self.closing or len(self.subscribers) >= self.subscribers_max

    @property
    def position(self) -> str:
        """The stream's current position; a page rendered now subscribes with it as `?since=`."""
        return f"{self._epoch}.{self._number}"

    async def run(self) -> None:
        """Read and fan out, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read_upstream())
            tasks.create_task(self._flush_changes())
            tasks.create_task(self._disconnect_stalled())

    def close(self) -> None:
        """End all streams; browsers reconnect to another process."""
        self.closing = True
        self._wake_subscribers()

    def end_session(self, session_id: str) -> None:
        """End the session's streams."""
        for subscriber in self.subscribers:
            if subscriber.session_id == session_id:
                subscriber.ends_at = 0.0
        self._wake_subscribers()

    def pages_of(self, subject: str) -> int:
        """Return the number of pages that the person has open."""
        return sum(subscriber.subject == subject for subscriber in self.subscribers)

    async def frames(
        self,
        since: str | None,
        session_id: str | None = None,
        seconds: float | None = None,
        subject: str | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Stream to one page from its position, for a limited number of seconds."""
        position, known = self._position_of(since)
        ends_at = inf if seconds is None else monotonic() + seconds
        subscriber = Subscriber(asyncio.current_task(), position, session_id, subject, ends_at)
        self.subscribers.add(subscriber)
        LIVE_PAGES.set(len(self.subscribers))
        try:
            async with aclosing(self._stream_of(subscriber, known)) as stream:
                async for wire in stream:
                    subscriber.handed_at = monotonic()
                    yield wire
                    subscriber.handed_at = None
        finally:
            self.subscribers.discard(subscriber)
            LIVE_PAGES.set(len(self.subscribers))

    async def _stream_of(self, subscriber: Subscriber, known: bool) -> AsyncGenerator[bytes, None]:
        yield b"retry: 1000\n\n" + self._state_event()
        if not known:
            yield encode_event("resync", "{}", self.position)
        while not self.closing and (left := subscriber.ends_at - monotonic()) > 0:
            news = self._news
            if wire := self._next_for(subscriber):
                yield wire
                continue
            try:
                async with asyncio.timeout(min(BEAT_SECONDS, left)):
                    await news.wait()
            except TimeoutError:
                yield encode_event("beat", "{}")

    def _position_of(self, since: str | None) -> tuple[int, bool]:
        """Return the frame after which a page continues, and whether the ring still has it."""
        epoch, _, number = (since or "").partition(".")
        oldest = self._ring[0].number - 1 if self._ring else self._number
        if epoch == self._epoch and number.isdigit() and oldest <= int(number) <= self._number:
            return int(number), True
        return self._number, False

    def _next_for(self, subscriber: Subscriber) -> bytes:
        """Return all new frames as one, or a resync if some have left the ring."""
        behind = self._number - subscriber.position
        if not behind:
            return b""
        subscriber.position = self._number
        if behind > len(self._ring):
            return encode_event("resync", "{}", self.position) + self._state_event()
        return b"".join(
            self._ring[i].wire for i in range(len(self._ring) - behind, len(self._ring))
        )

    def _state_event(self) -> bytes:
        return encode_event("state", "live" if self.live else "behind")

    def _publish(self, name: str, data: str) -> None:
        self._number += 1
        frame = Frame(self._number, encode_event(name, data, self.position))
        self._ring.append(frame)
        self._ring_bytes += len(frame.wire)
        while len(self._ring) > RING_FRAMES_MAX or self._ring_bytes > RING_BYTES_MAX:
            self._ring_bytes -= len(self._ring.popleft().wire)
        self._wake_subscribers()

    def _wake_subscribers(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _set_live(self, live: bool) -> None:
        if live != self.live:
            self.live = live
            STREAM_CONNECTED.set(live)
            log.info("api_stream_connected" if live else "api_stream_lost")
            self._publish("state", "live" if live else "behind")

    async def _read_upstream(self) -> None:
        """Stay connected to the API's stream; resume after the last event received."""
        last_event_id: str | None = None
        pause = 0.25
        while True:
            reader = EventReader(last_event_id)
            started = monotonic()
            with suppress(httpx2.HTTPError, StreamTooLong):
                await self._read_stream(reader)
            last_event_id = reader.last_event_id
            self._set_live(False)
            if monotonic() - started > RECONNECT_SECONDS_MAX:
                pause = 0.25
            # Half of it random: replicas do not reconnect in step.
            await asyncio.sleep(pause * (0.5 + secrets.randbelow(512) / 1024))
            pause = min(pause * 2, RECONNECT_SECONDS_MAX)

    async def _read_stream(self, reader: EventReader) -> None:
        headers = {"Accept": "text/event-stream"}
        if reader.last_event_id:
            headers["Last-Event-ID"] = reader.last_event_id
        timeout = httpx2.Timeout(5.0, read=STREAM_SILENCE_SECONDS_MAX)
        async with self.http.stream(
            "GET", "/payments/events", headers=headers, timeout=timeout
        ) as response:
            if response.status_code != httpx2.codes.OK:
                return
            STREAM_CONNECTS.inc()
            if not reader.last_event_id:
                # Pages that were rendered before this connection may have missed a change.
                self._publish("resync", "{}")
            self._set_live(True)
            async for chunk in response.aiter_raw():
                for event in reader.feed(chunk):
                    self._receive(event)

    def _receive(self, event: Event) -> None:
        if event.name == "resync":
            self._changed.clear()
            self._publish("resync", "{}")
        elif event.name == "payment":
            with suppress(ValueError, KeyError, TypeError):
                payment: Payment = json.loads(event.data)
                self._changed[payment["id"]] = payment
                self._to_flush.set()

    async def _flush_changes(self) -> None:
        """Publish the first change at once, later ones together."""
        while True:
            await self._to_flush.wait()
            self._to_flush.clear()
            changed, self._changed = self._changed, {}
            if len(changed) > ROWS_PER_FRAME_MAX:
                self._publish("resync", "{}")
            elif changed:
                try:
                    self._publish("payments", await self.render(list(changed.values())))
                except Exception:
                    # An event of an unknown shape must not end the stream.
                    log.exception("live_rows_render_failed")
                    self._publish("resync", "{}")
            await asyncio.sleep(self.interval_seconds)

    async def _disconnect_stalled(self) -> None:
        while True:
            await asyncio.sleep(STALLED_SECONDS_MAX / 6)
            limit = monotonic() - STALLED_SECONDS_MAX
            stalled = [s for s in self.subscribers if s.handed_at and s.handed_at < limit]
            for subscriber in stalled:
                LIVE_PAGES_CUT_OFF.inc()
                log.warning("live_page_disconnected")
                if subscriber.task:
                    subscriber.task.cancel()


live_feed = PerApp[LiveFeed]("live_feed")
