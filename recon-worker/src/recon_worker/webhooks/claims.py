"""Deliveries as a queue: claim those that are due, record attempts, hand back.

A claim leases deliveries by pushing their next attempt behind the lease's end: a lease that expires
needs no rescue. The record of an attempt is fenced by the lease's token, as with jobs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

LEASE_SECONDS = 30.0  # An attempt takes 10 s at most; its record waits while Postgres restarts.
IN_FLIGHT_OF_ONE_MAX = 32  # To one endpoint at a time, and a single one while it only fails.

# Each endpoint's due deliveries are looked up by themselves, so that one with a long backlog hides
# no other; turns then share the places among endpoints. Turns count attempts under way: slow
# endpoints that fill every place would otherwise take each place that becomes free, too. Ties are
# broken at random, so that no endpoint always comes last. A delivery of a payment whose earlier
# delivery is pending is held: it is due again when that one is, and at once when that one ends.
CLAIM = f"""
WITH due AS MATERIALIZED (
    SELECT d.id, d.endpoint_id, d.payment_id, d.position, d.next_attempt_at, own.under_way
    FROM webhook_endpoints AS e
    CROSS JOIN LATERAL (
        SELECT coalesce(($2::int[])[array_position($1::uuid[], e.id)], 0) AS under_way) AS own
    CROSS JOIN LATERAL (
        SELECT id, endpoint_id, payment_id, position, next_attempt_at FROM webhook_deliveries
        WHERE endpoint_id = e.id AND status = 'pending' AND next_attempt_at <= now()
        ORDER BY next_attempt_at
        LIMIT greatest(0,
            CASE WHEN e.failing_since IS NULL THEN {IN_FLIGHT_OF_ONE_MAX} ELSE 1 END
            - own.under_way)
        FOR UPDATE SKIP LOCKED) AS d
    WHERE e.enabled_at IS NOT NULL AND (e.paused_until IS NULL OR e.paused_until <= now())
), judged AS MATERIALIZED (
    SELECT due.id, earlier.next_attempt_at AS held_until,
           due.under_way + row_number() OVER (
               PARTITION BY due.endpoint_id, earlier.next_attempt_at IS NULL
               ORDER BY due.next_attempt_at, due.position) AS turn
    FROM due LEFT JOIN LATERAL (
        SELECT next_attempt_at FROM webhook_deliveries AS before
        WHERE before.payment_id = due.payment_id AND before.endpoint_id = due.endpoint_id
          AND before.position < due.position AND before.status = 'pending'
        ORDER BY before.position LIMIT 1) AS earlier ON true
), claimed AS (
    UPDATE webhook_deliveries
    SET attempts = attempts + 1, lease_token = $3,
        next_attempt_at = now() + interval '{LEASE_SECONDS:.0f} seconds'
    WHERE id = ANY (ARRAY(
        SELECT id FROM judged WHERE held_until IS NULL ORDER BY turn, random() LIMIT $4))
    RETURNING id, endpoint_id, event_id, body, attempts, earlier_attempts
), held AS (
    UPDATE webhook_deliveries
    SET next_attempt_at = greatest((SELECT held_until FROM judged
                                    WHERE judged.id = webhook_deliveries.id),
                                   now() + interval '1 second')
    WHERE id = ANY (ARRAY(SELECT id FROM judged WHERE held_until IS NOT NULL))
)
SELECT claimed.id, claimed.endpoint_id, claimed.event_id, claimed.body, claimed.attempts,
       claimed.earlier_attempts, e.url, now() AS claimed_at,
       ARRAY(SELECT secret FROM webhook_secrets
             WHERE webhook_secrets.endpoint_id = claimed.endpoint_id
               AND (expires_at IS NULL OR expires_at > now())
             ORDER BY expires_at NULLS FIRST) AS secrets
FROM claimed CROSS JOIN LATERAL (
    SELECT url FROM webhook_endpoints WHERE webhook_endpoints.id = claimed.endpoint_id OFFSET 0
) AS e"""

# In the order of their ids, so that two workers' records cannot deadlock.
RECORD = """
WITH ended AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::timestamptz[], $5::float8[],
                         $6::int[], $7::text[], $8::text[], $9::text[], $10::float8[])
        AS t (id, lease_token, number, started_at, duration_seconds, status_code, answer, error,
              outcome, delay_seconds)
), locked AS MATERIALIZED (
    SELECT d.id, d.give_up_at, d.lease_token FROM webhook_deliveries AS d
    WHERE d.id = ANY ($1::uuid[]) ORDER BY d.id FOR UPDATE
), outcomes AS MATERIALIZED (
    SELECT ended.*, CASE
        WHEN outcome = 'retry' AND locked.give_up_at <= now() THEN 'failed'
        WHEN outcome = 'retry' THEN 'pending'
        ELSE outcome END AS status,
        least(now() + make_interval(secs => delay_seconds), locked.give_up_at) AS next_attempt_at
    FROM ended JOIN locked USING (id) WHERE locked.lease_token = ended.lease_token
), updated AS (
    UPDATE webhook_deliveries AS d
    SET status = o.status, lease_token = NULL, next_attempt_at = o.next_attempt_at,
        finished_at = CASE WHEN o.status <> 'pending' THEN now() END
    FROM outcomes AS o WHERE d.id = o.id AND d.id = ANY ($1::uuid[])
    RETURNING d.id, d.status, d.endpoint_id, d.payment_id, d.position
), attempted AS (
    INSERT INTO webhook_attempts (delivery_id, number, started_at, duration_seconds, status_code,
                                  answer, error)
    SELECT id, number, started_at, duration_seconds, status_code, answer, error FROM outcomes
    ON CONFLICT DO NOTHING
)
SELECT id, status, endpoint_id, payment_id, position FROM updated"""

# The next delivery of each payment need not wait until it was due again.
RELEASE = """
UPDATE webhook_deliveries SET next_attempt_at = now()
WHERE id = ANY (ARRAY(
    SELECT next.id FROM unnest($1::uuid[], $2::uuid[]) AS ended (payment_id, endpoint_id)
    CROSS JOIN LATERAL (
        SELECT id FROM webhook_deliveries AS d
        WHERE d.payment_id = ended.payment_id AND d.endpoint_id = ended.endpoint_id
          AND d.status = 'pending'
        ORDER BY d.position LIMIT 1) AS next))
  AND status = 'pending' AND lease_token IS NULL AND attempts = earlier_attempts"""

HAND_BACK = """
UPDATE webhook_deliveries
SET attempts = attempts - 1, lease_token = NULL, next_attempt_at = now()
WHERE id = ANY ($1::uuid[]) AND lease_token = ANY ($2::uuid[])"""


@dataclass(frozen=True, slots=True, eq=False)
class Claimed:
    """A leased delivery. `attempts` counts this attempt too.

    `claimed_at` is the database's time: receivers refuse the signature of a clock that is off.
    """

    id: UUID
    endpoint_id: UUID
    event_id: str
    body: bytes
    attempts: int
    earlier_attempts: int
    url: str
    secrets: Sequence[bytes]
    lease_token: UUID
    claimed_at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """A finished attempt: `outcome` is delivered, retry or failed."""

    delivery: Claimed
    started_at: datetime
    duration_seconds: float
    status_code: int | None
    answer: str | None
    error: str | None
    outcome: str
    delay_seconds: float = 0.0
    retry_after_seconds: float = 0.0
    gone: bool = False


async def claim(
    connection: AsyncConnection, in_flight: Mapping[UUID, int], limit: int
) -> list[Claimed]:
    """Lease up to `limit` due deliveries; `in_flight` counts those under way, by endpoint."""
    token = uuid4()
    rows = await connection.exec_driver_sql(
        CLAIM, (list(in_flight), list(in_flight.values()), token, limit)
    )
    return [
        Claimed(
            row.id,
            row.endpoint_id,
            row.event_id,
            row.body.encode(),
            row.attempts,
            row.earlier_attempts,
            row.url,
            row.secrets,
            token,
            row.claimed_at,
        )
        for row in rows
    ]


async def record(tx: AsyncConnection, attempts: Sequence[Attempt]) -> dict[UUID, str]:
    """Record attempts; return each delivery's new status, without those whose lease was lost."""
    columns = zip(
        *(
            (
                one.delivery.id,
                one.delivery.lease_token,
                one.delivery.attempts,
                one.started_at,
                one.duration_seconds,
                one.status_code,
                one.answer,
                one.error,
                one.outcome,
                one.delay_seconds,
            )
            for one in attempts
        ),
        strict=True,
    )
    rows = (await tx.exec_driver_sql(RECORD, tuple(list(column) for column in columns))).all()
    ended = [row for row in rows if row.status != "pending" and row.payment_id is not None]
    if ended:
        ids = ([row.payment_id for row in ended], [row.endpoint_id for row in ended])
        await tx.exec_driver_sql(RELEASE, ids)
    return {row.id: row.status for row in rows}


async def hand_back(connection: AsyncConnection, deliveries: Sequence[Claimed]) -> int:
    """Return unfinished deliveries without using up an attempt; return their number."""
    ids = [one.id for one in deliveries]
    tokens = list({one.lease_token for one in deliveries})
    return (await connection.exec_driver_sql(HAND_BACK, (ids, tokens))).rowcount
