"""The event feed: one LISTEN in a process, fanned out to all readers of GET /payments/events.

Notices name payments. The feed reads each payment once for all readers and keeps the last events
for readers that return. When it cannot name the changes (too many at once, a lost connection, a
malformed notice, a reader that was away too long), it sends a resync: fetch the shown data again.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api.events.reader import WAITING_EVENTS_MAX, Event, Reader, ReaderLimits
from payments_api.http.errors import Overloaded, TooManyStreams
from payments_api.payments.queries import payment_json, payments_by_id
from payments_core.db.engine import reason_of, single_statement
from payments_core.db.listen import listen
from payments_core.queue.notify import PAYMENTS_CHANNEL, TOO_MANY

KEPT_EVENTS_MAX = 1_000  # For readers that reconnect.
CHANGES_MAX = 500  # Gathered during a read; more of them become a resync.
REMEMBER_SECONDS = 60.0  # After the last reader left: it may be reconnecting.
RESYNC_PAUSE_SECONDS = 0.5  # Refetching everything many times a second is of no use.
MALFORMED_LOG_SECONDS = 60.0  # Between two log lines about malformed notices.
GATHER_SECONDS = 0.02  # Changes within this time are read together.

log = logging.getLogger(__name__)


class EventFeed:
    """The feed of one process."""

    def __init__(self, engine: AsyncEngine, dsn: str, limits: ReaderLimits) -> None:
        self._engine = engine
        self._dsn = dsn
        self._limits = limits
        # An id of another process, or of one before a restart, has another epoch.
        self._epoch = secrets.token_hex(4)
        self._number = 0
        self._kept: deque[Event] = deque(maxlen=KEPT_EVENTS_MAX)
        self._readers: set[Reader] = set()
        self._last_reader_left = float("-inf")
        self._changed: dict[UUID, None] = {}
        self._resync = False
        self._malformed = 0  # Since the last line about them.
        self._log_malformed_at = float("-inf")
        self._wake = asyncio.Event()

    @property
    def readers(self) -> int:
        """The number of open streams."""
        return len(self._readers)

    async def run(self) -> None:
        """Follow notices until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._publish_changes())

    async def _listen(self) -> None:
        await listen(
            self._dsn, PAYMENTS_CHANNEL, self._notice, self._request_resync, "payments-api-listen"
        )

    def _notice(self, payload: str) -> None:
        if payload == TOO_MANY or len(self._changed) > CHANGES_MAX:
            self._request_resync()
            return
        try:
            changed = [UUID(text) for text in payload.split()]
        except ValueError:
            self._count_malformed()
            self._request_resync()
            return
        self._changed.update(dict.fromkeys(changed))
        self._wake.set()

    def _count_malformed(self) -> None:
        """Count a malformed notice, which any role of the database may send."""
        self._malformed += 1
        now = monotonic()
        if now >= self._log_malformed_at:
            log.warning("notices_malformed", extra={"count": self._malformed})
            self._malformed, self._log_malformed_at = 0, now + MALFORMED_LOG_SECONDS

    def _request_resync(self) -> None:
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
                # A read without readers is wasted: one that reconnects refetches its data.
                self._number += len(changed)
                self._kept.clear()

    def _is_followed(self) -> bool:
        loop = asyncio.get_running_loop()
        return bool(self._readers) or loop.time() < self._last_reader_left + REMEMBER_SECONDS

    async def _publish_payments(self, ids: list[UUID]) -> None:
        try:
            async with single_statement(self._engine) as connection:
                rows = await payments_by_id(connection, ids)
        except Exception as error:  # After any error, readers fetch their data themselves.
            log.warning("events_read_failed", extra={"error": reason_of(error)})
            self._request_resync()
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
    async def registered(self, reader: Reader, last_event_id: str | None) -> AsyncIterator[None]:
        """Register a reader, and queue the events that it missed since `last_event_id`.

        Raises Overloaded, TooManyStreams.
        """
        self._check_limits(reader)
        if last_event_id is not None:
            for event in self._missed_since(last_event_id, reader):
                reader.offer(event)
        self._readers.add(reader)
        try:
            yield
        finally:
            self._readers.discard(reader)
            self._last_reader_left = asyncio.get_running_loop().time()

    def _check_limits(self, new: Reader) -> None:
        limits, readers = self._limits, self._readers
        if len(readers) >= limits.in_all:
            raise Overloaded(f"{len(readers)} event streams are open.")
        if sum(r.address == new.address for r in readers) >= limits.per_address:
            raise TooManyStreams(f"Your address has {limits.per_address} streams open; close one.")
        if new.key_id is None:
            return
        if sum(r.key_id == new.key_id for r in readers) >= limits.per_key:
            raise TooManyStreams(f"Your API key has {limits.per_key} streams open; close one.")

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
        position = next((n for n, event in enumerate(kept) if event.token == token), None)
        missed = [] if position is None else [e for e in kept[position + 1 :] if reader.may_see(e)]
        if position is None or len(missed) > WAITING_EVENTS_MAX:
            resync = Event("", "resync", {})
            # With the latest event's token, if any: the reader lacks only later ones.
            return [replace(resync, token=kept[-1].token) if kept else resync]
        return missed
