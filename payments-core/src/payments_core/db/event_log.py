"""The event log: settled payments and reversals, dead jobs and disabled webhooks, in a fixed order.

Nothing is written twice: an event is a row of the results, of the deaths of jobs, or of the
disablings of webhooks. All take their ids from one sequence. A page ends where an open transaction
may still add a smaller id, so a reader that continues from it skips none.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from payments_core.db.writers import have_ended, open_writers
from payments_core.domain.events import EVENT_ID_PREFIX, EVENT_TYPES, JOB_DEAD, WEBHOOK_DISABLED
from payments_core.domain.money import amount_text
from payments_core.domain.payment_json import lasting_payment_json
from payments_core.domain.payments import time_or_none, utc_text
from payments_core.domain.tenants import shown_account, stored_account

SCANNED_EVENTS_MAX = 2_000  # For one page, whatever it filters: a few milliseconds.
FINAL_WAIT_SECONDS = 1.0
TABLES = ("reconciliation_results", "job_deaths", "webhook_disablings")

LAST_ID = text(f"SELECT greatest({', '.join(f'(SELECT max(id) FROM {t})' for t in TABLES)}, 0)")

# OFFSET 0 keeps the planner from anything but one look-up for each event: it cannot know how few
# events a page scans, and may choose to read all payments for a join.
PAGE = text("""
WITH scanned AS MATERIALIZED (
    (SELECT id, payment_id, reversal_id, created_at, NULL::uuid AS event_id,
            NULL::bigint AS job_id, NULL::integer AS attempts, status, matched,
            discrepancy_amount, notes, rule_version,
            NULL::uuid AS endpoint_id, NULL::timestamptz AS failing_since,
            CASE WHEN reversal_id IS NULL THEN 'payment.' ELSE 'reversal.' END ||
                CASE status WHEN 'failed' THEN 'failed' ELSE 'completed' END AS type
     FROM reconciliation_results WHERE id > :after AND id <= :last ORDER BY id LIMIT :scan)
    UNION ALL
    (SELECT id, payment_id, reversal_id, created_at, event_id, job_id, attempts,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            'job.dead' AS type
     FROM job_deaths WHERE id > :after AND id <= :last ORDER BY id LIMIT :scan)
    UNION ALL
    (SELECT id, NULL, NULL, created_at, event_id, NULL, NULL,
            NULL, NULL, NULL, reason, NULL, endpoint_id, failing_since,
            'webhook.disabled' AS type
     FROM webhook_disablings WHERE id > :after AND id <= :last ORDER BY id LIMIT :scan)
    ORDER BY id LIMIT :scan
), listed AS (
    SELECT scanned.id AS position, scanned.event_id, scanned.type, scanned.job_id,
           scanned.attempts, scanned.created_at AS occurred_at, scanned.matched,
           scanned.status AS result_status, scanned.discrepancy_amount, scanned.notes,
           scanned.rule_version, scanned.endpoint_id, scanned.failing_since,
           coalesce(substring(p.account_id FROM '^([^~]*)~'), endpoint.tenant) AS tenant,
           p.id, p.account_id, p.amount, p.currency, p.description, p.reference, p.metadata,
           p.source, p.status, p.created_at, p.settled_at,
           r.id AS reversal_id, r.amount AS reversal_amount, r.reason,
           r.reference AS reversal_reference, r.metadata AS reversal_metadata,
           r.status AS reversal_status, r.created_at AS reversal_created_at,
           r.settled_at AS reversal_settled_at,
           CASE WHEN scanned.status IS NULL THEN NULL  -- No settlement.
                WHEN scanned.reversal_id IS NULL THEN
                    (SELECT account_seq FROM ledger_entries
                     WHERE payment_id = p.id AND entry_type = 'payment')
                ELSE (SELECT account_seq FROM ledger_entries
                      WHERE payment_id = p.id AND entry_type = 'reversal' AND reversal_id = r.id)
           END AS account_seq
    FROM scanned LEFT JOIN LATERAL (
        SELECT * FROM reversals WHERE reversals.id = scanned.reversal_id OFFSET 0) AS r ON true
    LEFT JOIN LATERAL (
        SELECT * FROM payments
        WHERE payments.id = coalesce(scanned.payment_id, r.payment_id) OFFSET 0) AS p ON true
    LEFT JOIN LATERAL (
        SELECT tenant FROM webhook_endpoints
        WHERE webhook_endpoints.id = scanned.endpoint_id OFFSET 0) AS endpoint ON true
    WHERE scanned.type = ANY (:types)
      AND (CAST(:tenant AS text) IS NULL
           OR starts_with(coalesce(p.account_id, endpoint.tenant || '~'), :tenant))
    ORDER BY scanned.id LIMIT :limit
)
SELECT whole.to_id, whole.full, listed.*
FROM (SELECT max(id) AS to_id, count(*) = :scan AS full FROM scanned) AS whole
LEFT JOIN listed ON true ORDER BY listed.position""")


@dataclass(frozen=True, slots=True)
class EventPage:
    """Rows of events in order, and the position from which the next page continues."""

    rows: Sequence[AnyRow]
    position: int
    has_more: bool


async def last_final_position(connection: AsyncConnection, after: int) -> int:
    """Return the last id below which no event can appear any more; at least `after`.

    Waits for the transactions that write events now. Returns `after` if one takes longer than
    FINAL_WAIT_SECONDS: nothing beyond is final.
    """
    last: int = (await connection.execute(LAST_ID)).scalar_one()
    if last <= after:
        return after
    writers = await open_writers(connection, TABLES)
    final = await have_ended(connection, TABLES, writers, FINAL_WAIT_SECONDS)
    return last if final else after


async def read_events(
    connection: AsyncConnection,
    after: int,
    last: int,
    limit: int,
    types: Collection[str] = EVENT_TYPES,
    tenant: str | None = None,
) -> EventPage:
    """Return the events after a position, up to the final one `last`, at most `limit`.

    `event_json` makes a row into an event.
    """
    bounds = {"after": after, "last": last, "scan": SCANNED_EVENTS_MAX, "limit": limit}
    prefix = None if tenant is None else stored_account("", tenant)
    found = await connection.execute(PAGE, {**bounds, "types": list(types), "tenant": prefix})
    rows = found.all()
    whole = rows[0]
    listed = [row for row in rows if row.position is not None]
    if len(listed) == limit:
        return EventPage(listed, listed[-1].position, True)
    position = whole.to_id if whole.full else last
    return EventPage(listed, position, whole.full)


def event_json(row: AnyRow, tenant: str | None) -> dict[str, Any]:
    """Return an event. It is built from values that never change, so it never changes either."""
    event_id: UUID
    if row.type == JOB_DEAD:
        event_id, data = row.event_id, _death_json(row, tenant)
    elif row.type == WEBHOOK_DISABLED:
        event_id, data = row.event_id, _disabling_json(row)
    elif row.reversal_id is not None:
        event_id, data = row.reversal_id, _reversal_json(row, tenant)
    else:
        event_id = row.id
        data = {**lasting_payment_json(row._asdict(), tenant), **_outcome(row)}
    return {
        "id": f"{EVENT_ID_PREFIX}{event_id.hex}",
        "type": row.type,
        "createdAt": utc_text(row.occurred_at),
        "data": data,
    }


def _outcome(row: AnyRow) -> dict[str, Any]:
    return {
        "accountSeq": row.account_seq,
        "reconciliation": {
            "status": row.result_status,
            "matched": row.matched,
            "notes": row.notes,
            "ruleVersion": row.rule_version,
        },
    }


def _reversal_json(row: AnyRow, tenant: str | None) -> dict[str, Any]:
    return {
        "id": str(row.reversal_id),
        "paymentId": str(row.id),
        "accountId": shown_account(row.account_id, tenant),
        "amount": amount_text(row.reversal_amount),
        "currency": row.currency,
        "reason": row.reason,
        "reference": row.reversal_reference,
        "metadata": row.reversal_metadata or {},
        "status": row.reversal_status,
        "createdAt": utc_text(row.reversal_created_at),
        "settledAt": utc_text(row.reversal_settled_at),
        **_outcome(row),
    }


def _death_json(row: AnyRow, tenant: str | None) -> dict[str, Any]:
    return {
        "paymentId": str(row.id),
        "reversalId": row.reversal_id and str(row.reversal_id),
        "accountId": shown_account(row.account_id, tenant),
        # Jobs are numbered across all tenants.
        "jobId": row.job_id if tenant is None else None,
        "attempts": row.attempts,
    }


def _disabling_json(row: AnyRow) -> dict[str, Any]:
    return {
        "endpointId": str(row.endpoint_id),
        "reason": row.notes,
        "failingSince": time_or_none(row.failing_since),
    }
