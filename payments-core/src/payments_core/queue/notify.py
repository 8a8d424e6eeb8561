"""Notifications to other processes by NOTIFY: ready jobs, and changed payments.

They are sent after the commit they announce and outside its transaction: NOTIFY inside it would
serialise all commits of the server. A notification lost in a crash costs little time, because
every listener also polls.
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
PAUSE_SECONDS = 0.005  # Between notifications, so that under load each announces many payments.
TOO_MANY = "*"  # Beyond it, a notification tells readers to resync.

log = logging.getLogger(__name__)


class Notifier:
    """Sends one notification at a time; changes in the meantime share the next one."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._changed: list[UUID] = []
        self._too_many = False
        self._jobs_added = False
        self._wake = asyncio.Event()

    def payments_changed(self, ids: Iterable[UUID], *, jobs_added: bool = False) -> None:
        """Announce changed payments to readers, and new jobs to workers."""
        if not self._too_many:
            self._changed.extend(ids)
            self._too_many = len(self._changed) > IDS_PER_NOTICE_MAX
        if self._too_many:
            self._changed.clear()
        self._jobs_added |= jobs_added
        self._wake.set()

    async def run(self) -> None:
        """Send notifications until cancelled; a failure is logged and loses that notification."""
        while True:
            await self._wake.wait()
            await self.flush()
            await asyncio.sleep(PAUSE_SECONDS)

    async def flush(self) -> None:
        """Send pending notifications now, for example before the process stops."""
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
            # Cancelled while sending: the last flush sends it.
            self._too_many |= too_many
            self.payments_changed(changed, jobs_added=jobs_added)
            raise
        except Exception as error:  # The next one may succeed.
            log.warning("notice_failed", extra={"error": reason_of(error)})
