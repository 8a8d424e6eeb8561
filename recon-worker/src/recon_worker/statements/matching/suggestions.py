"""Suggestions: what a person should look at, where no rule has a match to make."""

from payments_core.matching.entries import OPEN_LINE, match_key, open_line
from payments_core.matching.returns import name_of, named_by_bank_ref, returned_payment
from recon_worker.statements.matching.rules import CHUNK_LINES, by_amount

# The payment that a line returns, unless another open line would return it too; the only entry of
# the line's reference in nearly the same amount ($5 tolerance, NULL without one; $6 whether a
# difference may be the charges); or the only entry of its amount within $4 days (NULL if rules
# match those). $1 source, $2 after this line, $3 the last line.
SUGGEST = f"""
WITH chunk AS MATERIALIZED (
    SELECT id, source_id, amount, currency, {match_key("end_to_end")} AS key,
           {match_key(name_of("line"))} AS name, end_to_end, bank_ref, reversal, booked_on,
           charges, coalesce(return_reason, CASE WHEN reversal THEN 'reversed by the bank' END)
               AS return_reason, status, status_reason
    FROM statement_lines AS line WHERE source_id = $1 AND id > $2 AND id <= $3 AND {OPEN_LINE}
    ORDER BY id LIMIT {CHUNK_LINES}
), looked AS MATERIALIZED (
    SELECT line.id, line.status, line.status_reason, coalesce(
        (SELECT 'returns payment ' || payment.id || coalesce(' (' || line.return_reason || ')', '')
                    || ': reverse the payment'
         FROM (SELECT {returned_payment("line")} AS id OFFSET 0) AS payment
         WHERE payment.id IS NOT NULL AND (
            SELECT count(*) FROM (
                (SELECT 1 FROM statement_lines AS rival
                 WHERE rival.source_id + 0 = $1 AND ({match_key("rival.end_to_end")}) = line.name
                   AND rival.amount = line.amount AND {open_line("rival")}
                   AND rival.end_to_end IS NOT NULL AND rival.id <= $3 LIMIT 2)
                UNION ALL
                ({named_by_bank_ref("line")} AND rival.id <= $3 LIMIT 2)) AS two) = 1),
        (SELECT 'entry ' || min(entry_id) || ' has this reference; the amounts differ by '
                    || line.amount - min(amount)
         FROM (SELECT entry_id, amount FROM open_entries AS entry
               WHERE entry.source_id - 0 = $1 AND entry.reference = line.key
                 AND entry.currency = line.currency LIMIT 2) AS two
         HAVING count(*) = 1 AND line.amount <> min(amount)
            AND (abs(line.amount - min(amount)) <= $5::numeric
                 OR $6::boolean AND abs(line.amount - min(amount)) = abs(line.charges))),
        CASE WHEN line.end_to_end IS NULL AND $4::integer IS NOT NULL THEN (
            SELECT 'entry ' || candidate.entry_id || ' has this amount, within '
                       || $4::integer || ' days'
            FROM (SELECT) AS once {by_amount("$4::integer")}
            WHERE candidate.candidates = 1 AND other.rivals = 1) END) AS suggestion
    FROM chunk AS line
), changed AS (
    UPDATE statement_lines AS line
    SET status = CASE WHEN suggestion IS NULL THEN 'unmatched' ELSE 'suggested' END,
        status_reason = suggestion
    FROM looked WHERE line.id = looked.id AND {open_line("line")}
      AND (looked.status, looked.status_reason) IS DISTINCT FROM
          (CASE WHEN suggestion IS NULL THEN 'unmatched' ELSE 'suggested' END, suggestion)
)
SELECT max(id) AS last, count(*) FILTER (WHERE suggestion IS NOT NULL) AS matches,
       0 AS lines_lost, 0 AS entries_lost FROM looked"""
