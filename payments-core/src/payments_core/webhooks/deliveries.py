"""Deliveries: one for each event and endpoint, sent until it is accepted or given up.

pending --the endpoint answers 2xx--> delivered
   ^ |
   | +-- no attempt succeeds within three days --> failed
   +-- resend ---- delivered, failed
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Select, func, insert, or_, select, text, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.audit_log import Operator, record_action
from payments_core.db.engine import AnyRow
from payments_core.db.keyset import NEWEST_FIRST, Walk
from payments_core.db.tables import (
    constant,
    webhook_attempts,
    webhook_deliveries,
    webhook_endpoints,
)
from payments_core.domain.events import EVENT_ID_PREFIX
from payments_core.domain.ids import uuid7
from payments_core.domain.payments import utc_text
from payments_core.domain.webhooks import (
    ATTEMPTS_SHOWN_MAX,
    RESENT_MAX,
    RETRIED_DAYS,
    TEST_EVENT,
    TESTS_PER_HOUR_MAX,
    DeliveryStatus,
)
from payments_core.webhooks.endpoints import EndpointDisabled, find_endpoint

_deliveries = webhook_deliveries.c
_AGAIN = {
    "status": "pending",
    "next_attempt_at": func.now(),
    "give_up_at": func.now() + text(f"interval '{RETRIED_DAYS} days'"),
    "earlier_attempts": _deliveries.attempts,
    "lease_token": None,  # nosec B105 - no secret: it names an attempt.
    "finished_at": None,
}
RESEND_FAILED = text(f"""
WITH failed AS MATERIALIZED (
    SELECT id FROM webhook_deliveries
    WHERE endpoint_id = :endpoint AND status = 'failed' AND created_at >= :since
    ORDER BY id LIMIT {RESENT_MAX} FOR UPDATE SKIP LOCKED
)
UPDATE webhook_deliveries
SET status = 'pending', next_attempt_at = now(),
    give_up_at = now() + interval '{RETRIED_DAYS} days', earlier_attempts = attempts,
    finished_at = NULL
WHERE id = ANY (ARRAY(SELECT id FROM failed))""")


# The unique key on endpoint and position holds test events together: they have no position.
SECONDS_TO_NEXT_TEST = text(f"""
SELECT ceil(extract(epoch FROM created_at + interval '1 hour' - now()))::integer
FROM webhook_deliveries WHERE endpoint_id = :endpoint AND position IS NULL
ORDER BY created_at DESC OFFSET {TESTS_PER_HOUR_MAX - 1} LIMIT 1""")


class DeliveryNotFound(LookupError):
    """No webhook delivery has that id."""


class TooManyTests(ValueError):
    """The webhook endpoint was sent as many test events as an hour allows: wait."""

    def __init__(self, seconds: int) -> None:
        super().__init__(self.__doc__)
        self.seconds = seconds  # Until the next one is possible.


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


async def send_test(
    tx: AsyncConnection, endpoint_id: UUID, tenant: str | None, operator: Operator
) -> AnyRow:
    """Queue an event of the type webhook.test, on record; return its delivery.

    Raises EndpointNotFound, EndpointDisabled, TooManyTests.
    """
    await _find_enabled(tx, endpoint_id, tenant, lock=True)  # Tests at once count each other.
    waits = (await tx.execute(SECONDS_TO_NEXT_TEST, {"endpoint": endpoint_id})).scalar_one_or_none()
    if waits is not None and waits > 0:
        raise TooManyTests(waits)
    event = {
        "id": f"{EVENT_ID_PREFIX}{uuid4().hex}",
        "type": TEST_EVENT,
        "createdAt": utc_text(datetime.now(UTC)),
        "data": {"endpointId": str(endpoint_id)},
    }
    delivery_id = uuid7()
    await tx.execute(
        insert(webhook_deliveries).values(
            id=delivery_id,
            endpoint_id=endpoint_id,
            event_id=event["id"],
            type=TEST_EVENT,
            body=body_of(event),
        )
    )
    await _hurry(tx, endpoint_id)
    await record_action(tx, "test_webhook", operator, subject=f"webhook {endpoint_id}")
    return await find_delivery(tx, delivery_id, tenant)


async def resend(
    tx: AsyncConnection, delivery_id: UUID, tenant: str | None, operator: Operator
) -> AnyRow:
    """Send a delivery again, on record: the same id and body, with three days of retries.

    One that is pending is attempted now. Raises DeliveryNotFound, EndpointDisabled.
    """
    delivery = await find_delivery(tx, delivery_id, tenant)
    await _find_enabled(tx, delivery.endpoint_id, tenant)
    idle = or_(_deliveries.status != "pending", _deliveries.lease_token.is_(None))
    await tx.execute(
        update(webhook_deliveries).where(_deliveries.id == delivery_id, idle).values(_AGAIN)
    )
    await _hurry(tx, delivery.endpoint_id)
    subject = f"webhook {delivery.endpoint_id}"
    await record_action(tx, "resend_webhook", operator, f"delivery {delivery_id}", subject=subject)
    return await find_delivery(tx, delivery_id, tenant)


async def count_failed(
    tx: AsyncConnection, endpoint_id: UUID, tenant: str | None, since: datetime
) -> int:
    """Return how many deliveries `resend_failed` would send again. Raises EndpointNotFound."""
    await find_endpoint(tx, endpoint_id, tenant)
    failed = (
        select(_deliveries.id)
        .where(
            _deliveries.endpoint_id == endpoint_id,
            _deliveries.status == constant("failed"),
            _deliveries.created_at >= since,
        )
        .limit(RESENT_MAX)
        .subquery()
    )
    number: int = (await tx.execute(select(func.count()).select_from(failed))).scalar_one()
    return number


async def resend_failed(
    tx: AsyncConnection,
    endpoint_id: UUID,
    tenant: str | None,
    since: datetime,
    operator: Operator,
) -> int:
    """Send the failed deliveries created since a time again, on record; return their number.

    At most RESENT_MAX, the oldest first: with so many, call it again. Raises EndpointNotFound,
    EndpointDisabled.
    """
    await _find_enabled(tx, endpoint_id, tenant)
    resent = await tx.execute(RESEND_FAILED, {"endpoint": endpoint_id, "since": since})
    await _hurry(tx, endpoint_id)
    reason = f"{resent.rowcount} failed deliveries since {utc_text(since)}"
    await record_action(tx, "resend_webhook", operator, reason, subject=f"webhook {endpoint_id}")
    return resent.rowcount


async def _find_enabled(
    tx: AsyncConnection, endpoint_id: UUID, tenant: str | None, *, lock: bool = False
) -> AnyRow:
    endpoint = await find_endpoint(tx, endpoint_id, tenant, lock=lock)
    if endpoint.enabled_at is None:
        raise EndpointDisabled(EndpointDisabled.__doc__)
    return endpoint


async def _hurry(tx: AsyncConnection, endpoint_id: UUID) -> None:
    """End a pause of the endpoint: an operator expects an attempt now."""
    await tx.execute(
        update(webhook_endpoints)
        .where(webhook_endpoints.c.id == endpoint_id, webhook_endpoints.c.paused_until.is_not(None))
        .values(paused_until=None)
    )
