"""Deliveries: one for each event and endpoint, sent until it is accepted or given up.

pending --the endpoint answers 2xx--> delivered
   ^ |
   | +-- no attempt succeeds within three days --> failed
   +-- resend ---- delivered, failed
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from payments_core.db.keyset import NEWEST_FIRST, Walk
from payments_core.db.tables import (
    constant,
    webhook_attempts,
    webhook_deliveries,
    webhook_endpoints,
)
from payments_core.domain.webhooks import (
    ATTEMPTS_SHOWN_MAX,
    DeliveryStatus,
)
from payments_core.webhooks.endpoints import find_endpoint

_deliveries = webhook_deliveries.c


class DeliveryNotFound(LookupError):
    """No webhook delivery has that id."""


def body_of(event: Mapping[str, Any]) -> str:
    """Return the body that delivers an event of the log, in the shape of Standard Webhooks."""
    body = {
        "type": event["type"],
        "timestamp": event["createdAt"],
        "data": event["data"],
        "id": event["id"],
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _listed() -> Select[Any]:
    """Select deliveries, each with its last recorded attempt."""
    last = (
        select(
            webhook_attempts.c.number,
            webhook_attempts.c.started_at,
            webhook_attempts.c.duration_seconds,
            webhook_attempts.c.status_code,
            webhook_attempts.c.answer,
            webhook_attempts.c.error,
        )
        .where(webhook_attempts.c.delivery_id == _deliveries.id)
        .order_by(webhook_attempts.c.number.desc())
        .limit(constant(1))
        .lateral()
    )
    return select(
        webhook_deliveries,
        last.c.started_at.label("last_attempt_at"),
        last.c.duration_seconds,
        last.c.status_code,
        last.c.answer,
        last.c.error,
    ).select_from(webhook_deliveries.join(last, true(), isouter=True))


async def list_deliveries(
    tx: AsyncConnection,
    endpoint_id: UUID,
    tenant: str | None,
    limit: int,
    walk: Walk[UUID] = NEWEST_FIRST,
    status: DeliveryStatus | None = None,
) -> Sequence[AnyRow]:
    """Return an endpoint's deliveries along the walk, by id, each with its last attempt.

    Raises EndpointNotFound.
    """
    await find_endpoint(tx, endpoint_id, tenant)
    key = _deliveries.id
    query = _listed().where(_deliveries.endpoint_id == endpoint_id, *walk.beyond(key))
    if status is not None:
        query = query.where(_deliveries.status == constant(status))
    query = query.order_by(*walk.order(key)).limit(constant(limit))
    rows: Sequence[AnyRow] = (await tx.execute(query)).all()
    return rows


async def find_delivery(tx: AsyncConnection, delivery_id: UUID, tenant: str | None) -> AnyRow:
    """Return a delivery with its last attempt. Raises DeliveryNotFound, for another tenant's too.

    Those of a deleted endpoint are not found either.
    """
    query = _listed().where(_deliveries.id == delivery_id)
    visible = select(webhook_endpoints.c.id).where(
        webhook_endpoints.c.id == _deliveries.endpoint_id,
        webhook_endpoints.c.deleted_at.is_(None),
    )
    if tenant is not None:
        visible = visible.where(webhook_endpoints.c.tenant == tenant)
    row: AnyRow | None = (await tx.execute(query.where(visible.exists()))).one_or_none()
    if row is None:
        raise DeliveryNotFound(DeliveryNotFound.__doc__)
    return row


async def list_attempts(tx: AsyncConnection, delivery_id: UUID) -> Sequence[AnyRow]:
    """Return the latest attempts of a delivery, at most ATTEMPTS_SHOWN_MAX, the first one first.

    The number of one is missing whose worker died before it could record the outcome.
    """
    query = select(webhook_attempts).where(webhook_attempts.c.delivery_id == delivery_id)
    query = query.order_by(webhook_attempts.c.number.desc()).limit(ATTEMPTS_SHOWN_MAX)
    return (await tx.execute(query)).all()[::-1]
