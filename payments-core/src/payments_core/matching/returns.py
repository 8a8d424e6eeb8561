"""Returned payments: a debit line that names a payment proposes its reversal.

It names one by its end-to-end reference; without one, a line that the bank marks as a return names
it by the bank's own reference. A person creates the reversal. Its entry then has that reference and
the line's amount, so the rules match both.
"""

from payments_core.db.tables.schema import one_of
from payments_core.domain.matching import OPEN_ADJUSTMENT_STATUSES
from payments_core.matching.entries import OF_TENANT, match_key, open_line

NAMED_MAX = 1_000  # Payments of one reference that are examined: a reference of more names none.
_WAITS = one_of("adjustment.status", OPEN_ADJUSTMENT_STATUSES)


def name_of(line: str) -> str:
    """Return SQL for the reference by which a line names the payment that it sends back."""
    is_return = f"({line}.return_reason IS NOT NULL OR {line}.reversal)"
    return f"coalesce({line}.end_to_end, CASE WHEN {is_return} THEN {line}.bank_ref END)"


def named_by_bank_ref(line: str) -> str:
    """Return SQL for the open lines, `rival`, with a line's amount and its name as bank reference.

    `line` has a `name`, the match key of name_of.
    """
    return f"""
        SELECT 1 FROM statement_lines AS rival
        WHERE rival.source_id + 0 = {line}.source_id AND rival.amount = {line}.amount
          AND ({match_key("rival.bank_ref")}) = {line}.name AND {open_line("rival")}
          AND rival.bank_ref IS NOT NULL AND rival.end_to_end IS NULL"""


def returned_payment(line: str) -> str:
    """Return SQL for the id of the payment that a line sends back, or NULL.

    It is the only completed payment of the line's source with that reference or id. Enough of it is
    left to reverse, none of its reversals waits for a line of that reference or amount, and no
    adjustment of the line waits. `line` has id, source_id, amount, currency and what
    name_of reads. Every step is a look-up, whatever statistics say: OFFSET 0, LIMIT and aggregates
    keep them apart.
    """
    name = name_of(line)
    key = match_key(name)
    columns = "id, amount, account_id, source, currency, status"
    return f"""(CASE WHEN {line}.amount < 0 AND {name} IS NOT NULL THEN (
    SELECT payment.id FROM (
        SELECT (array_agg(id) FILTER (WHERE fits))[1] AS id,
               (array_agg(amount) FILTER (WHERE fits))[1] AS amount FROM (
            SELECT payment.id, payment.amount, payment.status = 'completed'
                AND payment.source = source.channel AND payment.currency = {line}.currency
                AND {OF_TENANT} AS fits
            FROM recon_sources AS source CROSS JOIN LATERAL (
                SELECT * FROM (SELECT {columns} FROM payments
                    WHERE reference = {name} LIMIT {NAMED_MAX}) AS some_payments
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
