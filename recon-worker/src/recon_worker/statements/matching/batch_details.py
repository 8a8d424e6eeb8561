"""The details of a batch that come in another file: a part of the rule `batch_sum`.

A camt.053 may book a batch as one entry without its transactions, which a camt.054 or a camt.052
names. Both say the same day of booking, and the same reference of the bank or the same batch. The
details stay what they are, lines that no balance counts; the entry's one line is matched with the
ledger's entries that they name: with all of them, or with none.

Nothing is guessed: one open line and one set of details have the reference and the sum, and each
detail has one candidate that no other line or batch names. All open lines are looked at for each
chunk, so the result does not depend on where a chunk ends.
"""

from payments_core.domain.matching import LEGS_MAX, SCORES
from payments_core.matching.entries import OPEN_LINE, match_key, open_line
from payments_core.matching.matches import LINE_DAY, undone_line
from recon_worker.statements.matching.rules import UNDONE_BY_A_PERSON, WRITE

# The details of a day cost as much as the day has of them; older batches are matched by hand.
DAYS_MAX = 60

# Lines and details meet by their references, which no index has: by hashes.
PLAN = """
SELECT set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'off', true),
       set_config('enable_seqscan', 'off', true), set_config('enable_hashagg', 'off', true)"""


def _rivals(name: str) -> str:
    """Return a query of the open lines that have a name and the sum of the details."""
    return f"""
    SELECT rival.id FROM statement_lines AS rival
    WHERE rival.source_id + 0 = $1 AND ({match_key(f"rival.{name}")}) = ANY (pair.refs)
      AND rival.amount = pair.amount AND {open_line("rival")} AND rival.{name} IS NOT NULL
      AND rival.end_to_end IS NULL AND rival.part_no = 0 AND rival.id <= $3"""


# $1 source, $2 after this line, $3 the last line, $4 run, $5 the day of the run.
BATCH_DETAILS = f"""
WITH line AS MATERIALIZED (
    SELECT id, amount, currency, booked_on,
           ARRAY[{match_key("bank_ref")}, {match_key("batch_ref")}] AS refs
    FROM statement_lines
    WHERE source_id = $1 AND id <= $3 AND {OPEN_LINE} AND end_to_end IS NULL AND part_no = 0
      AND coalesce(bank_ref, batch_ref) IS NOT NULL AND booked_on > $5::date - {DAYS_MAX}
), detail AS MATERIALIZED (
    SELECT detail.statement_id, detail.line_no, detail.amount, detail.currency, detail.booked_on,
           {match_key("detail.end_to_end")} AS key, {match_key("detail.bank_ref")} AS bank_ref,
           {match_key("detail.batch_ref")} AS batch_ref
    FROM (SELECT DISTINCT booked_on FROM line) AS day
    JOIN statement_lines AS detail ON detail.source_id = $1 AND detail.booked_on = day.booked_on
        AND detail.status = 'ignored' AND detail.booking = 'booked' AND detail.id <= $3
    JOIN statements AS statement ON statement.id = detail.statement_id
        AND statement.kind <> 'statement'
), batch AS MATERIALIZED (
    SELECT statement_id, line_no, booked_on, sum(amount) AS amount, min(currency) AS currency,
           count(*) AS details, string_agg(concat_ws('|', key, amount), ',' ORDER BY key, amount)
               AS content,
           array_agg(DISTINCT bank_ref) || array_agg(DISTINCT batch_ref) AS refs
    FROM detail GROUP BY 1, 2, 3
), meeting AS MATERIALIZED (
    SELECT DISTINCT one.id, other.statement_id, other.line_no
    FROM (SELECT id, booked_on, unnest(refs) AS ref FROM line) AS one
    JOIN (SELECT statement_id, line_no, booked_on, unnest(refs) AS ref FROM batch) AS other
        USING (ref, booked_on)
), pair AS MATERIALIZED (
    SELECT line.id, batch.statement_id, batch.line_no, batch.amount, details, batch.refs,
           row_number() OVER of_line AS place,
           min(content) OVER of_line = max(content) OVER of_line AS agree
    FROM meeting JOIN line USING (id) JOIN batch USING (statement_id, line_no)
    WHERE (line.amount, line.currency) = (batch.amount, batch.currency)
    WINDOW of_line AS (PARTITION BY line.id ORDER BY batch.statement_id, batch.line_no
                       ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
), named AS MATERIALIZED (
    SELECT pair.id, candidate.entry_id, candidate.booked_on, detail.amount,
           count(*) OVER (PARTITION BY candidate.entry_id) AS times
    FROM pair JOIN detail USING (statement_id, line_no)
    CROSS JOIN LATERAL (
        SELECT min(entry_id) AS entry_id, min(booked_on) AS booked_on
        FROM (SELECT entry_id, booked_on FROM open_entries AS entry
              WHERE entry.source_id - 0 = $1 AND entry.reference = detail.key
                AND entry.amount = detail.amount AND entry.currency = detail.currency
              LIMIT 2) AS two
        HAVING count(*) = 1
    ) AS candidate
    WHERE pair.place = 1 AND NOT EXISTS (
        SELECT FROM statement_lines AS rival
        WHERE rival.source_id + 0 = $1 AND ({match_key("rival.end_to_end")}) = detail.key
          AND rival.amount = detail.amount AND {open_line("rival")}
          AND rival.end_to_end IS NOT NULL AND rival.id <= $3)
), fit AS MATERIALIZED (
    SELECT pair.id, details, sum(details) OVER (ORDER BY pair.id) - details AS before
    FROM pair
    WHERE pair.id > $2 AND place = 1 AND agree AND details < {LEGS_MAX}
      AND (SELECT count(*) FROM named WHERE named.id = pair.id AND times = 1) = details
      AND (SELECT count(*) FROM ({_rivals("bank_ref")} UNION {_rivals("batch_ref")}) AS same) = 1
      AND (SELECT count(*) FROM match_legs AS was
           WHERE {undone_line("was")} = pair.id AND {UNDONE_BY_A_PERSON}) = 0
), chunk AS MATERIALIZED (
    SELECT nextval('recon_matches_id_seq') AS match_id, taken.*
    FROM (SELECT id, details FROM fit WHERE before < {LEGS_MAX} ORDER BY id) AS taken
), legs AS MATERIALIZED (
    SELECT chunk.match_id, 'line' AS side, line.id AS item_id, line.amount,
           {LINE_DAY} AS booked_on, line.status, line.status_reason,
           coalesce(line.batch_ref, line.bank_ref) AS ref
    FROM chunk JOIN statement_lines AS line ON line.id = chunk.id
    JOIN statements AS statement ON statement.id = line.statement_id
    UNION ALL
    SELECT chunk.match_id, 'entry', named.entry_id, named.amount, named.booked_on, NULL, NULL, NULL
    FROM chunk JOIN named USING (id)
), found AS MATERIALIZED (
    SELECT match_id, min(booked_on) AS first_on, max(booked_on) AS last_on,
           count(*) - 1 || ' details of ' || min(ref) AS why
    FROM legs GROUP BY match_id
){WRITE.format(rule="batch_sum", score=SCORES["batch_sum"], last="max(id)")}"""
