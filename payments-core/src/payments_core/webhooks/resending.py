"""Resending: deliveries that an operator asks for again, and test events, each on record."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import func, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.audit_log import Operator, record_action
from payments_core.db.engine import AnyRow
from payments_core.db.tables import constant, webhook_deliveries, webhook_endpoints
from payments_core.domain.events import EVENT_ID_PREFIX
from payments_core.domain.ids import uuid7
from payments_core.domain.payments import utc_text
from payments_core.domain.webhooks import RESENT_MAX, RETRIED_DAYS, TEST_EVENT, TESTS_PER_HOUR_MAX
from payments_core.webhooks.deliveries import body_of, find_delivery
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


class TooManyTests(ValueError):
    """The webhook endpoint has reached its limit of 20 test events an hour: wait."""

    def __init__(self, seconds: int) -> None:
        super().__init__(self.__doc__)
        self.seconds = seconds  # Until the next one is possible.


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

    At most RESENT_MAX, oldest first: with so many, call it again. Raises EndpointNotFound,
    EndpointDisabled.
    """
    await _find_enabled(tx, endpoint_id, tenant)
    resent = await tx.execute(RESEND_FAILED, {"endpoint": endpoint_id, "since": since})
    await _hurry(tx, endpoint_id)
    deliveries = "delivery" if resent.rowcount == 1 else "deliveries"
    reason = f"{resent.rowcount} failed {deliveries} since {utc_text(since)}"
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
