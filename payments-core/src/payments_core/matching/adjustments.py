"""Adjustments: one person proposes a posting that explains a line, another one decides.

The worker posts what is approved (recon_worker/statements/matching/adjustments.py). The database
keeps proposer and approver apart, by the constraint approver_is_another_person.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.audit_log import Operator, record_action
from payments_core.db.engine import AnyRow
from payments_core.db.keyset import NEWEST_FIRST, Walk
from payments_core.db.tables import recon_adjustments
from payments_core.domain.ids import uuid7
from payments_core.domain.matching import HAND_LEGS_MAX, AdjustmentKind, AdjustmentStatus
from payments_core.domain.money import currency_text
from payments_core.matching.matches import ItemNotFound, MatchRefused, check_open, lock_lines

ENTRIES_MAX = HAND_LEGS_MAX - 2  # The line and the adjustment's own entry are legs too.

Decision = Literal["approve", "reject"]
STATUS_AFTER: dict[Decision, AdjustmentStatus] = {"approve": "approved", "reject": "rejected"}
_ACTIONS: dict[Decision, Literal["approve_adjustment", "reject_adjustment"]] = {
    "approve": "approve_adjustment",
    "reject": "reject_adjustment",
}

OPEN_ENTRIES = """
SELECT entry_id AS id, amount FROM open_entries
WHERE source_id = $1 AND entry_id = ANY ($2::bigint[])"""
# A line has one open adjustment: another proposal of it waits for the first, then stores nothing.
PROPOSE = """
INSERT INTO recon_adjustments (id, source_id, line_id, entry_ids, kind, amount, reason, proposed_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING id"""
LOCK = "SELECT * FROM recon_adjustments WHERE source_id = $1 AND id = $2 FOR UPDATE"
DECIDE = """
UPDATE recon_adjustments
SET status = $2, decided_by = $3, decided_at = clock_timestamp(), decision_reason = $4
WHERE id = $1"""


class ApproverIsProposer(PermissionError):
    """The person who proposed an adjustment cannot approve it: another person must."""


async def propose(
    tx: AsyncConnection,
    source_id: int,
    line_id: int,
    entry_ids: Sequence[int],
    kind: AdjustmentKind,
    operator: Operator,
    reason: str,
) -> UUID:
    """Propose to post the difference between an open line and open entries that it pays for.

    Without entries the whole line is adjusted. Raises ItemNotFound, MatchRefused.
    """
    entry_ids = sorted(set(entry_ids))
    if len(entry_ids) > ENTRIES_MAX:
        raise MatchRefused(f"an adjustment has at most {ENTRIES_MAX} entries")
    (line,) = await lock_lines(tx, source_id, [line_id])
    entries = (await tx.exec_driver_sql(OPEN_ENTRIES, (source_id, entry_ids))).all()
    check_open(entry_ids, entries)
    amount = line.amount - sum((entry.amount for entry in entries), Decimal())
    if not amount:
        raise MatchRefused("the entries sum to {}: match them instead", "line", line_id)
    adjustment_id = uuid7()
    values = (adjustment_id, source_id, line_id, entry_ids, kind, amount, reason, operator.name)
    if (await tx.exec_driver_sql(PROPOSE, values)).one_or_none() is None:
        raise MatchRefused("{} has an adjustment that waits for a decision", "line", line_id)
    await _record(tx, "propose_adjustment", operator, f"{kind}: {reason}", adjustment_id)
    return adjustment_id


async def decide(
    tx: AsyncConnection,
    source_id: int,
    adjustment_id: UUID,
    decision: Decision,
    operator: Operator,
    reason: str,
) -> None:
    """Approve a proposal, for the worker to post, or reject it.

    Raises ItemNotFound, MatchRefused, ApproverIsProposer.
    """
    found = (await tx.exec_driver_sql(LOCK, (source_id, adjustment_id))).one_or_none()
    if found is None:
        raise ItemNotFound(f"no adjustment {adjustment_id} of this source")
    if found.status != "proposed":
        was = "rejected" if found.status == "rejected" else "approved"
        raise MatchRefused(f"the adjustment was {was} by {found.decided_by}")
    if decision == "approve" and found.proposed_by.lower() == operator.name.lower():
        raise ApproverIsProposer(f"{found.proposed_by} proposed it: another person has to approve")
    values = (adjustment_id, STATUS_AFTER[decision], operator.name, reason or None)
    await tx.exec_driver_sql(DECIDE, values)
    await _record(tx, _ACTIONS[decision], operator, reason, adjustment_id)


async def find_adjustment(tx: AsyncConnection, source_id: int, adjustment_id: UUID) -> AnyRow:
    """Return an adjustment of the source. Raises ItemNotFound."""
    found = recon_adjustments.c
    query = select(recon_adjustments).where(found.source_id == source_id, found.id == adjustment_id)
    row: AnyRow | None = (await tx.execute(query)).one_or_none()
    if row is None:
        raise ItemNotFound(f"no adjustment {adjustment_id} of this source")
    return row


async def list_adjustments(
    tx: AsyncConnection,
    source_id: int,
    limit: int,
    walk: Walk[UUID] = NEWEST_FIRST,
    status: AdjustmentStatus | None = None,
    line_id: int | None = None,
) -> Sequence[AnyRow]:
    """Return adjustments of the source along the walk, by id, a UUIDv7."""
    listed = recon_adjustments.c
    query = select(recon_adjustments).where(listed.source_id == source_id, *walk.beyond(listed.id))
    if status is not None:
        query = query.where(listed.status == status)
    if line_id is not None:
        query = query.where(listed.line_id == line_id)
    rows: Sequence[AnyRow] = (
        await tx.execute(query.order_by(*walk.order(listed.id)).limit(limit))
    ).all()
    return rows


def adjustment_why(row: AnyRow, currency: str) -> str:
    """Return why the match that an adjustment completes was made."""
    return f"{row.kind} of {currency_text(row.amount, currency)}: {row.reason}"


async def _record(
    tx: AsyncConnection,
    action: Literal["propose_adjustment", "approve_adjustment", "reject_adjustment"],
    operator: Operator,
    reason: str,
    adjustment_id: UUID,
) -> None:
    await record_action(tx, action, operator, reason, subject=f"adjustment {adjustment_id}")
