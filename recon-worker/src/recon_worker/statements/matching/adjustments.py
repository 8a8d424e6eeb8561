"""Post approved adjustments: two legs, the line's match and the status, in one transaction each.

The clearing leg is an entry of ours like any other. It completes the match of the line, so the
bridge counts it in our balance, and an undone match leaves it open.
"""

import logging
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import AnyRow, is_unavailable, single_statement, transaction
from payments_core.domain.matching import ADJUSTMENT_ACCOUNT_PREFIX
from payments_core.matching.adjustments import adjustment_why
from payments_core.matching.matches import (
    LOCK_LINES,
    ItemNotFound,
    MatchRefused,
    lock_lines,
    store_match,
    take_entries,
)
from recon_worker.failpoints import reach
from recon_worker.reconciliation.post import MOVE_HEADS, clearing_account
from recon_worker.statements import metrics
from recon_worker.statements.matching.cut import ADD_TO_DAYS

SHARD = "00"  # Of the clearing account: adjustments are few, and every system has this shard.

APPROVED = "SELECT id FROM recon_adjustments WHERE status = 'approved' ORDER BY id"
READ = "SELECT * FROM recon_adjustments WHERE id = $1"
LOCK = f"{READ} AND status = 'approved' FOR UPDATE"
SETTLE = """
UPDATE recon_adjustments SET status = $2, failure = $3, settled_at = clock_timestamp()
WHERE id = $1"""

# $1 adjustment, $2 source, $3 kind, $4 amount: money in the bank is positive, which credits the
# adjustment's account and debits the clearing account, whose leg gets the later id.
POST = f"""
WITH source AS (
    SELECT currency, channel, time_zone FROM recon_sources WHERE id = $2
), legs AS MATERIALIZED (
    SELECT '{ADJUSTMENT_ACCOUNT_PREFIX}' || $3::text AS account_id, currency, time_zone,
           'adjustment' AS entry_type, $4::numeric AS delta
    FROM source
    UNION ALL
    SELECT {clearing_account("channel", f"'{SHARD}'")}, currency, time_zone, 'clearing',
           -$4::numeric
    FROM source
), moved AS (
    SELECT account_id, currency, delta, 1 AS entries,
           greatest(-delta, 0) AS debits, greatest(delta, 0) AS credits
    FROM legs
), heads AS ({MOVE_HEADS}
), posted AS (
    INSERT INTO ledger_entries (payment_id, posting_kind, account_id, currency, entry_type,
                                direction, amount, account_seq, balance_after, created_at)
    SELECT $1, 'adjustment', account_id, currency, entry_type,
           CASE WHEN delta > 0 THEN 'credit' ELSE 'debit' END, abs(delta), seq, balance, updated_at
    FROM legs JOIN heads USING (account_id, currency) ORDER BY entry_type
    RETURNING id, currency, entry_type, created_at
), cleared AS (
    SELECT posted.id, $4::numeric AS amount, posted.currency,
           (posted.created_at AT TIME ZONE time_zone)::date AS booked_on
    FROM posted CROSS JOIN source WHERE entry_type = 'clearing'
), counted AS ({ADD_TO_DAYS.format(source="$2", rows="cleared")})
SELECT id, amount, currency, booked_on FROM cleared"""

log = logging.getLogger(__name__)


async def post_approved(engine: AsyncEngine) -> None:
    """Post every approved adjustment; a failure of one keeps no other back."""
    async with single_statement(engine) as connection:
        ids = (await connection.exec_driver_sql(APPROVED)).scalars().all()
    for adjustment_id in ids:
        try:
            async with transaction(engine) as tx:
                row = await post_adjustment(tx, adjustment_id)
        except Exception as error:
            if is_unavailable(error):
                raise
            log.exception("adjustment_failed", extra={"adjustment": str(adjustment_id)})
            continue
        reach("after_adjustment")
        if row is not None:
            metrics.ADJUSTMENTS_SETTLED.labels(row.status).inc()
            log.info(
                "adjustment_settled",
                extra={"adjustment": str(row.id), "status": row.status, "failure": row.failure},
            )


async def post_adjustment(tx: AsyncConnection, adjustment_id: UUID) -> AnyRow | None:
    """Post an approved adjustment and match its line; return it, or None if it is not approved.

    It fails, with the reason in `failure`, if its line or an entry was taken since the proposal.
    """
    adjustment = (await tx.exec_driver_sql(READ, (adjustment_id,))).one()
    # The line comes before the adjustment and the entries, as wherever they are locked.
    await tx.exec_driver_sql(LOCK_LINES, (adjustment.source_id, [adjustment.line_id]))
    if (await tx.exec_driver_sql(LOCK, (adjustment_id,))).one_or_none() is None:
        return None
    failure = None
    try:
        async with tx.begin_nested():
            lines = await lock_lines(tx, adjustment.source_id, [adjustment.line_id])
            entries = await take_entries(tx, adjustment.source_id, adjustment.entry_ids)
    except (ItemNotFound, MatchRefused) as refused:
        failure = str(refused)
    status = "failed" if failure else "posted"
    await tx.exec_driver_sql(SETTLE, (adjustment_id, status, failure))
    if failure is None:
        values = (adjustment_id, adjustment.source_id, adjustment.kind, adjustment.amount)
        posted = (await tx.exec_driver_sql(POST, values)).one()
        reach("in_adjustment")
        approver = Operator(adjustment.decided_by)
        why = adjustment_why(adjustment, posted.currency)
        await store_match(tx, adjustment.source_id, lines, [*entries, posted], approver, why)
    return (await tx.exec_driver_sql(READ, (adjustment_id,))).one()
