"""The readers of the event feed: each has a bounded queue of events."""

import asyncio
import json
import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from payments_core.domain.tenants import is_of_tenant, shown_account

WAITING_EVENTS_MAX = 256  # For one reader; a slower one is dropped, and may reconnect.


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event; `name` is payment or resync, `account_id` is None for all readers.

    Ids count across all tenants, which would reveal how busy the others are: a tenant's readers
    get the token instead.
    """

    id: str
    name: str
    data: dict[str, Any]
    account_id: str | None = None
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    def as_text(self, tenant: str | None = None) -> str:
        """Return the event in its wire format."""
        if tenant is None:
            return f"id: {self.id}\nevent: {self.name}\ndata: {json.dumps(self.data)}\n\n"
        data = self.data
        if self.account_id is not None:
            data = {**data, "accountId": shown_account(self.account_id, tenant)}
        return f"id: {self.token}\nevent: {self.name}\ndata: {json.dumps(data)}\n\n"


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """How many streams may be open at once."""

    in_all: int
    per_address: int
    per_key: int


@dataclass(eq=False, slots=True)
class Reader:
    """One open stream; `dropped` is set once it is too slow.

    `address` is the client's, as limits count it; `key_id` is None with authentication off.
    """

    account_id: str | None
    address: str
    tenant: str | None = None
    key_id: str | None = None
    waiting: deque[Event] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: bool = False

    def may_see(self, event: Event) -> bool:
        """Return whether the reader may see the event."""
        if event.account_id is None:
            return True
        if not is_of_tenant(event.account_id, self.tenant):
            return False
        return self.account_id in (None, event.account_id)

    def offer(self, event: Event) -> None:
        """Queue the event, or drop a reader whose queue is full."""
        if not self.may_see(event):
            return
        if len(self.waiting) >= WAITING_EVENTS_MAX:
            self.dropped = True
            self.waiting.clear()
        if not self.dropped:
            self.waiting.append(event)
        self.wake.set()
