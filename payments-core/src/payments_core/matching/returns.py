"""Returned payments: a debit line that names a payment proposes its reversal.

A person creates the reversal. Its entry then has the line's reference and amount, so the rules
match both.
"""

from payments_core.db.tables.schema import one_of
from payments_core.domain.matching import OPEN_ADJUSTMENT_STATUSES
from payments_core.matching.entries import OF_TENANT, match_key

NAMED_MAX = 1_000  # Payments of one reference that are examined: a reference of more names none.
_WAITS = one_of("adjustment.status", OPEN_ADJUSTMENT_STATUSES)


def returned_payment(line: str) -> str:
    """Return SQL for the id of the payment that a line sends back, or NULL.

    It is the only completed payment of the line's source with that reference or id. Enough of it is
    left to reverse, none of its reversals waits for a line of that reference or amount, and no
    adjustment of the line waits. `line` has id, source_id, amount, currency and end_to_end. Every
    step is a look-up, whatever statistics say: OFFSET 0, LIMIT and aggregates keep them apart.
    """
    key = match_key(f"{line}.end_to_end")
    columns = "id, amount, account_id, source, currency, status"
    return f"""(CASE WHEN {line}.amount < 0 AND {line}.end_to_end IS NOT NULL THEN (
    SELECT payment.id FROM (
        SELECT (array_agg(id) FILTER (WHERE fits))[1] AS id,
               (array_agg(amount) FILTER (WHERE fits))[1] AS amount FROM (
            SELECT payment.id, payment.amount, payment.status = 'completed'
                AND payment.source = source.channel AND payment.currency = {line}.currency
                AND {OF_TENANT} AS fits
            FROM recon_sources AS source CROSS JOIN LATERAL (
                SELECT * FROM (SELECT {columns} FROM payments
                    WHERE reference = {line}.end_to_end LIMIT {NAMED_MAX}) AS some_payments
                UNION
                SELECT {columns} FROM payments
                WHERE id = CASE WHEN {key} ~ '^[0-9a-f]{{32}}$' THEN ({key})::uuid END
            ) AS payment
            WHERE source.id = {line}.source_id OFFSET 0) AS candidate
        HAVING count(*) FILTER (WHERE fits) = 1 AND count(*) < {NAMED_MAX}) AS payment
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(made.amount), 0) AS amount, count(*) FILTER (
            WHERE (made.amount = - {line}.amount OR {match_key("made.reference")} = {key})
              AND (SELECT count(*) FROM match_legs AS leg
                   WHERE leg.side = 'entry' AND leg.active AND leg.item_id = (
                        SELECT posted.id FROM ledger_entries AS posted
                        WHERE posted.payment_id = payment.id AND posted.entry_type = 'clearing'
                          AND posted.reversal_id = made.id)) = 0) AS waiting
        FROM reversals AS made
        WHERE made.payment_id = payment.id AND made.status <> 'failed') AS reversed
    WHERE payment.amount - reversed.amount >= - {line}.amount AND reversed.waiting = 0
      AND (SELECT count(*) FROM recon_adjustments AS adjustment
           WHERE adjustment.line_id = {line}.id AND {_WAITS}) = 0) END)"""
