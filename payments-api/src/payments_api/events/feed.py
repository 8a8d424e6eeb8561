"""One LISTEN a process, fanned out to every reader of GET /payments/events.

Notices name payments. The feed reads each payment once for all readers and keeps the last events
for readers that return. When it cannot tell what changed (too many at once, a lost connection, a
malformed notice, a reader that was away too long), it sends a resync: fetch again what you show.
"""

import asyncio
import json
import logging
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api.auth.tenants import is_of_tenant, shown_account
from payments_api.http.errors import Overloaded, TooManyStreams
from payments_api.payments.queries import payment_json, payments_by_id
from payments_core.db.engine import reason_of, single_statement
from payments_core.db.listen import listen
from payments_core.queue.notify import PAYMENTS_CHANNEL, TOO_MANY

KEPT_EVENTS_MAX = 1_000  # For readers that reconnect.
WAITING_EVENTS_MAX = 256  # For one reader; a slower one is dropped, and may come back.
CHANGES_MAX = 500  # Gathered while the last were read; more than that is a resync.
REMEMBER_SECONDS = 60.0  # After the last reader left: it may be reconnecting.
RESYNC_PAUSE_SECONDS = 0.5  # Refetching everything many times a second helps nobody.
MALFORMED_LOG_SECONDS = 60.0  # Between two lines about notices that cannot be read.
GATHER_SECONDS = 0.02  # Changes within this time are read together.

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """`name` is payment or resync; `account_id` is None when every reader must see it.

    Ids are counted across all tenants, which would tell each how busy the others are: a tenant's
    readers get the token in their place.
    """

    id: str
    name: str
    data: dict[str, Any]
    account_id: str | None = None
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    def as_text(self, tenant: str | None = None) -> str:
        """As it goes over the wire."""
        if tenant is None:
            return f"id: {self.id}\nevent: {self.name}\ndata: {json.dumps(self.data)}\n\n"
        data = self.data
        if self.account_id is not None:
            data = {**data, "accountId": shown_account(self.account_id, tenant)}
        return f"id: {self.token}\nevent: {self.name}\ndata: {json.dumps(data)}\n\n"


@dataclass(eq=False, slots=True)
class Reader:
    """One open stream. `dropped` tells it that it was too slow."""

    account_id: str | None
    address: str = ""
    tenant: str | None = None
    waiting: deque[Event] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: bool = False

    def may_see(self, event: Event) -> bool:
        """Whether the event is for this reader."""
        if event.account_id is None:
            return True
        if not is_of_tenant(event.account_id, self.tenant):
            return False
        return self.account_id in (None, event.account_id)

    def offer(self, event: Event) -> None:
        """Queue the event, or give the reader up: its queue never grows without bound."""
        if not self.may_see(event):
            return
        if len(self.waiting) >= WAITING_EVENTS_MAX:
            self.dropped = True
            self.waiting.clear()
        if not self.dropped:
            self.waiting.append(event)
        self.wake.set()


class EventFeed:
    """The hub of one process."""

    def __init__(
        self, engine: AsyncEngine, dsn: str, readers_max: int, readers_per_address_max: int
    ) -> None:
        self._engine = engine
        self._dsn = dsn
        self._readers_max = readers_max
        self._readers_per_address_max = readers_per_address_max
        # An id from another process, or from before a restart, is none of ours.
        self._epoch = secrets.token_hex(4)
        self._number = 0
        self._kept: deque[Event] = deque(maxlen=KEPT_EVENTS_MAX)
        self._readers: set[Reader] = set()
        self._last_reader_left = float("-inf")
        self._changed: dict[UUID, None] = {}
        self._resync = False
        self._malformed = 0  # Since the last line about them.
        self._tell_malformed_at = float("-inf")
        self._wake = asyncio.Event()

    @property
    def readers(self) -> int:
        """How many streams are open."""
        return len(self._readers)

    async def run(self) -> None:
        """Follow notices for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._publish_changes())

    async def _listen(self) -> None:
        await listen(
            self._dsn, PAYMENTS_CHANNEL, self._notice, self._look_again, "payments-api-listen"
        )

    def _notice(self, payload: str) -> None:
        if payload == TOO_MANY or len(self._changed) > CHANGES_MAX:
            self._look_again()
            return
        try:
            changed = [UUID(text) for text in payload.split()]
        except ValueError:
            self._count_malformed()
            self._look_again()
            return
        self._changed.update(dict.fromkeys(changed))
        self._wake.set()

    def _count_malformed(self) -> None:
        """Count a notice that is none of ours: every role of the database may send one."""
        self._malformed += 1
        now = monotonic()
        if now >= self._tell_malformed_at:
            log.warning("notices_malformed", extra={"count": self._malformed})
            self._malformed, self._tell_malformed_at = 0, now + MALFORMED_LOG_SECONDS

    def _look_again(self) -> None:
        self._resync = True
        self._wake.set()

    async def _publish_changes(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._wake.clear()
            changed, resync = list(self._changed), self._resync
            self._changed, self._resync = {}, False
            if resync:
                self._publish("resync", {}, None)
                await asyncio.sleep(RESYNC_PAUSE_SECONDS)
            elif changed and self._is_followed():
                await self._publish_payments(changed)
            elif changed:
                # Reading for nobody costs: whoever comes back after so long will refetch.
                self._number += len(changed)
                self._kept.clear()

    def _is_followed(self) -> bool:
        loop = asyncio.get_running_loop()
        return bool(self._readers) or loop.time() < self._last_reader_left + REMEMBER_SECONDS

    async def _publish_payments(self, ids: list[UUID]) -> None:
        try:
            async with single_statement(self._engine) as connection:
                rows = await payments_by_id(connection, ids)
        except Exception as error:  # Whatever it is, readers are told to look for themselves.
            log.warning("events_not_read", extra={"error": reason_of(error)})
            self._look_again()
            await asyncio.sleep(1)
            return
        for row in rows:
            self._publish("payment", payment_json(row._asdict()), row.account_id)

    def _publish(self, name: str, data: dict[str, Any], account_id: str | None) -> None:
        self._number += 1
        event = Event(f"{self._epoch}-{self._number}", name, data, account_id)
        self._kept.append(event)
        for reader in self._readers:
            reader.offer(event)

    @asynccontextmanager
    async def reader(
        self, last_event_id: str | None, account_id: str | None, tenant: str | None, address: str
    ) -> AsyncIterator[Reader]:
        """A registered reader, with what it missed since `last_event_id` waiting for it.

        Raises Overloaded, TooManyStreams.
        """
        if len(self._readers) >= self._readers_max:
            raise Overloaded(f"{len(self._readers)} event streams are open.")
        if sum(r.address == address for r in self._readers) >= self._readers_per_address_max:
            raise TooManyStreams(f"Close one of your {self._readers_per_address_max} streams.")
        reader = Reader(account_id, address, tenant)
        if last_event_id is not None:
            for event in self._missed_since(last_event_id, reader):
                reader.offer(event)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            self._last_reader_left = asyncio.get_running_loop().time()

    def _missed_since(self, last_event_id: str, reader: Reader) -> list[Event]:
        if reader.tenant is not None:
            return self._missed_since_token(last_event_id, reader)
        epoch, _, number = last_event_id.rpartition("-")
        resync = [Event(f"{self._epoch}-{self._number}", "resync", {})]
        if epoch != self._epoch or not (number.isascii() and number.isdigit()):
            return resync
        missed = self._number - int(number[:18])
        if missed < 0 or missed > len(self._kept) or missed > WAITING_EVENTS_MAX:
            return resync
        return list(self._kept)[len(self._kept) - missed :]

    def _missed_since_token(self, token: str, reader: Reader) -> list[Event]:
        kept = list(self._kept)
        place = next((n for n, event in enumerate(kept) if event.token == token), None)
        missed = [] if place is None else [e for e in kept[place + 1 :] if reader.may_see(e)]
        if place is None or len(missed) > WAITING_EVENTS_MAX:
            resync = Event("", "resync", {})
            # Where there is one, the last event's: what comes after it is what this one has not.
            return [replace(resync, token=kept[-1].token) if kept else resync]
        return missed


async def event_stream(
    feed: EventFeed,
    last_event_id: str | None,
    account_id: str | None,
    tenant: str | None,
    address: str,
    over: Callable[[], Coroutine[Any, Any, None]],
    heartbeat_seconds: float,
) -> AsyncGenerator[str, None]:
    """The text of one reader's stream; it ends when the reader is too slow, or `over` returns.

    `address` is who reads, as limits count it.
    """
    async with feed.reader(last_event_id, account_id, tenant, address) as reader:
        # The first words make proxies and readers see that the stream is open.
        yield "retry: 1000\n: connected\n\n"
        stopped = asyncio.create_task(over())
        try:
            async with aclosing(_follow(reader, stopped, heartbeat_seconds)) as texts:
                async for text in texts:
                    yield text
        finally:
            stopped.cancel()


async def _follow(
    reader: Reader, stopped: asyncio.Task[None], heartbeat_seconds: float
) -> AsyncGenerator[str, None]:
    while not reader.dropped:
        woken = asyncio.create_task(reader.wake.wait())
        done, _ = await asyncio.wait(
            {woken, stopped}, timeout=heartbeat_seconds, return_when=asyncio.FIRST_COMPLETED
        )
        woken.cancel()
        if stopped in done:
            return
        reader.wake.clear()
        if not done:
            yield ": still here\n\n"
            continue
        texts = [event.as_text(reader.tenant) for event in reader.waiting]
        reader.waiting.clear()
        if texts:
            yield "".join(texts)
