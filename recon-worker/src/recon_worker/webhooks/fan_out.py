"""Fan-out: turn the events of the log into deliveries, each event once for each endpoint.

Deliveries and cursor are written in one transaction, so a worker that dies repeats or has done
all of it. Only events that are final are read: none appears later before the cursor.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import AnyRow, single_statement, transaction
from payments_core.db.event_log import LAST_ID, event_json, last_final_position, read_events
from payments_core.domain.events import EVENT_TYPES, WEBHOOK_DISABLED
from payments_core.domain.ids import uuid7
from payments_core.webhooks.deliveries import body_of
from recon_worker.failpoints import reach

EVENTS_MAX = 500  # In one transaction: some megabytes with twenty endpoints for each event.

# One statement, because an idle worker runs it several times a second.
LOOK = text(f"SELECT position, ({LAST_ID.text}) AS last FROM webhook_cursor")
# Another worker's fan-out is under way: it does this one's work.
LOCK = text("SELECT position FROM webhook_cursor FOR UPDATE SKIP LOCKED")
ADVANCE = text(
    "UPDATE webhook_cursor SET position = :position, updated_at = now() WHERE position < :position"
)
ENDPOINTS = text(
    "SELECT id, tenant, types, after_position FROM webhook_endpoints WHERE enabled_at IS NOT NULL"
)
INSERT = """
INSERT INTO webhook_deliveries (id, endpoint_id, position, event_id, type, payment_id, body)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::uuid[],
                     $7::text[])
ON CONFLICT (endpoint_id, position) DO NOTHING"""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """An enabled endpoint; no types are all of them."""

    id: UUID
    tenant: str | None
    types: frozenset[str]
    after: int  # The position in the log at which it was enabled.

    def receives(self, event: AnyRow) -> bool:
        """Return whether the endpoint receives the event."""
        return (
            (self.tenant is None or self.tenant == event.tenant)
            and (not self.types or event.type in self.types)
            and event.position > self.after
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """What one fan-out did: deliveries written, and whether more events may follow at once."""

    deliveries: int = 0
    has_more: bool = False


async def fan_out(engine: AsyncEngine) -> Progress:
    """Turn the next events into deliveries."""
    async with single_statement(engine) as connection:
        look = (await connection.execute(LOOK)).one()
        if look.last <= look.position:
            return Progress()
        last = await last_final_position(connection, look.position)
    async with transaction(engine) as tx:
        after = (await tx.execute(LOCK)).scalar_one_or_none()
        if after is None or after >= last:
            return Progress()
        subscribers = [
            Subscriber(row.id, row.tenant, frozenset(row.types), row.after_position)
            for row in await tx.execute(ENDPOINTS)
        ]
        if not subscribers:
            await tx.execute(ADVANCE, {"position": last})
            return Progress()
        page = await read_events(tx, after, last, EVENTS_MAX, _types(subscribers))
        deliveries = list(_deliveries(page.rows, subscribers))
        await _insert(tx, deliveries)
        await tx.execute(ADVANCE, {"position": page.position})
        reach("before_fan_out_commit")
    return Progress(len(deliveries), page.has_more)


def _types(subscribers: Sequence[Subscriber]) -> frozenset[str]:
    if any(not one.types for one in subscribers):
        return frozenset(EVENT_TYPES)
    return frozenset().union(*(one.types for one in subscribers))


async def _insert(tx: AsyncConnection, deliveries: Sequence[tuple[Any, ...]]) -> None:
    if deliveries:
        columns = zip(*deliveries, strict=True)
        await tx.exec_driver_sql(INSERT, tuple(list(column) for column in columns))


def _deliveries(
    events: Sequence[AnyRow], subscribers: Sequence[Subscriber]
) -> Iterator[tuple[Any, ...]]:
    for event in events:
        # One body for the endpoints without a tenant, one for those of the event's tenant.
        bodies: dict[str | None, tuple[str, str]] = {}
        payment_id = None if event.type == WEBHOOK_DISABLED else event.id
        for one in subscribers:
            if not one.receives(event):
                continue
            if one.tenant not in bodies:
                shown = event_json(event, one.tenant)
                bodies[one.tenant] = (shown["id"], body_of(shown))
            event_id, body = bodies[one.tenant]
            yield (uuid7(), one.id, event.position, event_id, event.type, payment_id, body)
