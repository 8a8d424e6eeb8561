"""Hints to other processes by NOTIFY: that jobs wait, and which payments changed.

They are sent after the commit that they tell of, and off its path: NOTIFY inside it would
make every commit of the server wait for the one before. A hint that a crash swallows costs
a moment only, since every reader of hints also looks for itself.
"""

import asyncio
import logging
from collections.abc import Iterable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import driver_connection, reason_of
from payments_core.queue.jobs import JOBS_CHANNEL

PAYMENTS_CHANNEL = "payment_changes"
IDS_PER_NOTICE_MAX = 100  # 37 bytes each; Postgres takes 8,000 bytes.
PAUSE_SECONDS = 0.005  # Between notices: under load they are for many payments each.
TOO_MANY = "*"  # More than a reader could follow one by one: look for yourself.

log = logging.getLogger(__name__)


class Notifier:
    """Sends one notice at a time; what comes meanwhile goes together into the next."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._changed: list[UUID] = []
        self._too_many = False
        self._jobs_added = False
        self._wake = asyncio.Event()

    def payments_changed(self, ids: Iterable[UUID], *, jobs_added: bool = False) -> None:
        """Tell readers of these payments, and the workers if there are jobs for them."""
        if not self._too_many:
            self._changed.extend(ids)
            self._too_many = len(self._changed) > IDS_PER_NOTICE_MAX
        if self._too_many:
            self._changed.clear()
        self._jobs_added |= jobs_added
        self._wake.set()

    async def run(self) -> None:
        """Send notices for ever; a failure is logged and costs that notice."""
        while True:
            await self._wake.wait()
            await self.flush()
            await asyncio.sleep(PAUSE_SECONDS)

    async def flush(self) -> None:
        """Send now what waits, such as the last notice of a process that stops."""
        self._wake.clear()
        changed, too_many, jobs_added = self._changed, self._too_many, self._jobs_added
        payload = TOO_MANY if too_many else " ".join(map(str, changed))
        self._changed, self._too_many, self._jobs_added = [], False, False
        if not (payload or jobs_added):
            return
        try:
            async with driver_connection(self._engine) as connection:
                await connection.fetchrow(
                    "SELECT CASE WHEN $1 THEN pg_notify($2, '') END,"
                    " CASE WHEN $4 <> '' THEN pg_notify($3, $4) END",
                    *(jobs_added, JOBS_CHANNEL, PAYMENTS_CHANNEL, payload),
                )
        except asyncio.CancelledError:
            # Stopped in the middle of sending: left for the last flush.
            self._too_many |= too_many
            self.payments_changed(changed, jobs_added=jobs_added)
            raise
        except Exception as error:  # Whatever it is, the next may get through.
            log.warning("notice_not_sent", extra={"error": reason_of(error)})
