"""The rules of matching, each one statement over a chunk of open lines.

A rule takes a pair, or a batch, only if neither side has another candidate: equal candidates are
never guessed. Taking one therefore changes no other's candidates, so the result does not depend on
where a chunk ends or on an interruption. The order is by ids; no clock and no estimate decides.

Every statement looks its candidates up by a partial index over what is open, so its cost follows
the open lines and entries, not their history. `source_id + 0` belongs to those indexes, and
`source_id - 0` to none: the revision that made them says why.
"""

from collections.abc import Mapping

from payments_core.domain.matching import LEGS_MAX, SCORES, Rule
from payments_core.matching.entries import OPEN_LINE, match_key, open_line
from payments_core.matching.matches import LINE_DAY, matched_status, undone_line

CHUNK_LINES = 20_000

# Look-ups by index, whatever statistics say: tables grow by orders of magnitude between two runs.
PLAN = """
SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
       set_config('enable_seqscan', 'off', true), set_config('enable_hashagg', 'off', true)"""

# The columns of every rule: $1 source, $2 after this line (or batch), $3 the last line, $4 run.
_LEG = "match_id, side, item_id, amount, booked_on, status, status_reason"
_STATEMENT_OF_LINE = "JOIN statements AS statement ON statement.id = line.statement_id"

# The counts tell whether every line and entry was still open: an act of a person may be faster.
WRITE = f"""
, held AS (
    UPDATE statement_lines AS line SET status = {matched_status("line")}, status_reason = NULL
    WHERE line.id = ANY (ARRAY(SELECT item_id FROM legs WHERE side = 'line'))
      AND {open_line("line")} RETURNING 1
), removed AS (
    DELETE FROM open_entries WHERE (SELECT count(*) FROM held) > 0
      AND entry_id = ANY (ARRAY(SELECT item_id FROM legs WHERE side = 'entry')) RETURNING 1
), matches AS (
    INSERT INTO recon_matches (id, source_id, run_id, rule, why, score, first_on, last_on)
    SELECT match_id, $1::bigint, $4::bigint, '{{rule}}', why, {{score}}, first_on, last_on
    FROM found ORDER BY match_id
), made AS (
    INSERT INTO match_legs (match_id, side, item_id, amount, booked_on, former_status,
                            former_reason)
    SELECT {_LEG} FROM legs
), resolved_lines AS (
    UPDATE recon_breaks SET resolved_at = clock_timestamp(), resolved_by = 'run ' || $4::bigint
    WHERE side = 'line' AND item_id = ANY (ARRAY(SELECT item_id FROM legs WHERE side = 'line'))
), resolved_entries AS (
    UPDATE recon_breaks SET resolved_at = clock_timestamp(), resolved_by = 'run ' || $4::bigint
    WHERE side = 'entry' AND item_id = ANY (ARRAY(SELECT item_id FROM legs WHERE side = 'entry'))
)
SELECT (SELECT {{last}} FROM chunk) AS last,
       (SELECT count(*) FROM found) AS matches,
       (SELECT count(*) FROM legs WHERE side = 'line') - (SELECT count(*) FROM held)
           AS lines_lost,
       (SELECT count(*) FROM legs WHERE side = 'entry') - (SELECT count(*) FROM removed)
           AS entries_lost"""

# A match that a person undid is not made again. Each table is looked up by its own subquery: a join
# would be planned when few matches have been undone, and that plan would stay.
UNDONE_BY_A_PERSON = """
    (SELECT undone_reason FROM recon_matches WHERE id = was.match_id) IS NOT NULL"""
_NOT_UNDONE = f"""
    (SELECT count(*) FROM match_legs AS was
     WHERE {undone_line("was")} = {{line}}
       AND (SELECT count(*) FROM match_legs AS partner
            WHERE partner.match_id = was.match_id AND partner.side = 'entry'
              AND partner.item_id = {{entry}}) > 0
       AND {UNDONE_BY_A_PERSON}) = 0"""

# `pair` has a line and its only candidate.
_PAIRS = """
, found AS MATERIALIZED (
    SELECT nextval('recon_matches_id_seq') AS match_id, pair.*,
           least(line_on, entry_on) AS first_on, greatest(line_on, entry_on) AS last_on
    FROM pair
), legs AS MATERIALIZED (
    SELECT match_id, 'line' AS side, id AS item_id, amount, line_on AS booked_on, status,
           status_reason FROM found
    UNION ALL
    SELECT match_id, 'entry', entry_id, amount, entry_on, NULL, NULL FROM found
)"""


def _by_reference(rule: Rule, field: str) -> str:
    """Return the rule for a unique reference, currency and amount on both sides."""
    named = f"{OPEN_LINE} AND {field} IS NOT NULL"
    return f"""
WITH chunk AS MATERIALIZED (
    SELECT id, statement_id, amount, currency, {match_key(field)} AS key, booked_on, status,
           status_reason
    FROM statement_lines WHERE source_id = $1 AND id > $2 AND id <= $3 AND {named}
    ORDER BY id LIMIT {CHUNK_LINES}
), pair AS (
    SELECT line.id, line.amount, line.status, line.status_reason, {LINE_DAY} AS line_on,
           candidate.entry_id, candidate.booked_on AS entry_on, '{field} ' || line.key AS why
    FROM chunk AS line {_STATEMENT_OF_LINE}
    CROSS JOIN LATERAL (
        SELECT min(entry_id) AS entry_id, min(booked_on) AS booked_on, count(*) AS candidates
        FROM (SELECT entry_id, booked_on FROM open_entries AS entry
              WHERE entry.source_id - 0 = $1 AND entry.reference = line.key
                AND entry.amount = line.amount AND entry.currency = line.currency LIMIT 2) AS two
    ) AS candidate
    WHERE candidate.candidates = 1
      AND (SELECT count(*) FROM (
            SELECT FROM statement_lines AS rival
            WHERE rival.source_id + 0 = $1 AND ({match_key(f"rival.{field}")}) = line.key
              AND rival.amount = line.amount AND {open_line("rival")}
              AND rival.{field} IS NOT NULL AND rival.id <= $3 LIMIT 2) AS two) = 1
      AND {_NOT_UNDONE.format(line="line.id", entry="candidate.entry_id")}
    ORDER BY line.id
){_PAIRS}{WRITE.format(rule=rule, score=SCORES[rule], last="max(id)")}"""


def by_amount(days: str) -> str:
    """Return look-ups of the entries and rivals of a line without a reference, within `days`.

    A line that names a payment is no other payment's.
    """
    return f"""
    CROSS JOIN LATERAL (
        SELECT min(entry_id) AS entry_id, min(booked_on) AS booked_on, count(*) AS candidates
        FROM (SELECT entry_id, booked_on FROM open_entries AS entry
              WHERE entry.source_id + 0 = $1 AND - entry.amount = - line.amount
                AND entry.currency = line.currency
                AND entry.booked_on BETWEEN line.booked_on - {days} AND line.booked_on + {days}
              LIMIT 2) AS two
    ) AS candidate
    CROSS JOIN LATERAL (
        SELECT count(*) AS rivals FROM (
            SELECT FROM statement_lines AS rival
            WHERE rival.source_id + 0 = $1 AND rival.amount = line.amount AND {open_line("rival")}
              AND rival.end_to_end IS NULL AND rival.id <= $3
              AND rival.booked_on BETWEEN candidate.booked_on - {days}
                                      AND candidate.booked_on + {days}
            LIMIT 2) AS two
    ) AS other"""


_DAYS = "$5::integer"
AMOUNT_AND_DATE = f"""
WITH chunk AS MATERIALIZED (
    SELECT id, statement_id, amount, currency, booked_on, status, status_reason
    FROM statement_lines
    WHERE source_id = $1 AND id > $2 AND id <= $3 AND {OPEN_LINE} AND end_to_end IS NULL
    ORDER BY id LIMIT {CHUNK_LINES}
), pair AS (
    SELECT line.id, line.amount, line.status, line.status_reason, {LINE_DAY} AS line_on,
           candidate.entry_id, candidate.booked_on AS entry_on,
           'amount, within ' || {_DAYS} || ' days' AS why
    FROM chunk AS line {_STATEMENT_OF_LINE} {by_amount(_DAYS)}
    WHERE candidate.candidates = 1 AND other.rivals = 1
      AND {_NOT_UNDONE.format(line="line.id", entry="candidate.entry_id")}
    ORDER BY line.id
){_PAIRS}{WRITE.format(rule="amount_and_date", score=SCORES["amount_and_date"], last="max(id)")}"""

# Lines of one batch against entries that have the batch as their reference: all lines with one
# entry, or one line with all entries. $2 is the batch before; batches are in the order of bytes.
BATCH_SUM = f"""
WITH batch AS MATERIALIZED (
    SELECT ({match_key("batch_ref")}) COLLATE "C" AS key, count(*) AS lines, sum(amount) AS amount,
           min(currency) AS currency, array_agg(id ORDER BY id) AS line_ids
    FROM statement_lines
    WHERE source_id + 0 = $1 AND ({match_key("batch_ref")}) COLLATE "C" > $2 AND id <= $3
      AND {OPEN_LINE} AND batch_ref IS NOT NULL
    GROUP BY 1 ORDER BY 1 LIMIT {CHUNK_LINES}
), summed AS MATERIALIZED (
    SELECT batch.*, entry.*, sum(lines + entries) OVER (ORDER BY key) - lines - entries AS before
    FROM batch CROSS JOIN LATERAL (
        SELECT count(*) AS entries, sum(amount) AS entry_amount,
               array_agg(entry_id ORDER BY entry_id) AS entry_ids
        FROM (SELECT entry_id, amount FROM open_entries
              WHERE source_id - 0 = $1 AND reference = batch.key COLLATE "default"
                AND currency = batch.currency
              LIMIT {LEGS_MAX + 1}) AS some_entries) AS entry
), chunk AS MATERIALIZED (
    SELECT * FROM summed WHERE before < {LEGS_MAX}
), whole AS MATERIALIZED (
    SELECT nextval('recon_matches_id_seq') AS match_id, fit.* FROM (
        SELECT * FROM chunk
        WHERE amount = entry_amount AND (lines = 1 OR entries = 1) AND entries > 0
          AND lines + entries <= {LEGS_MAX}
          AND (SELECT count(*) FROM match_legs AS was
               WHERE {undone_line("was")} = ANY (line_ids)
                 AND {UNDONE_BY_A_PERSON}) = 0
        ORDER BY key) AS fit
), legs AS MATERIALIZED (
    SELECT whole.match_id, 'line' AS side, line.id AS item_id, line.amount,
           {LINE_DAY} AS booked_on, line.status, line.status_reason, whole.key
    FROM whole JOIN statement_lines AS line ON line.id = ANY (whole.line_ids) {_STATEMENT_OF_LINE}
    UNION ALL
    SELECT whole.match_id, 'entry', item.entry_id, item.amount, item.booked_on, NULL, NULL,
           whole.key
    FROM whole JOIN open_entries AS item ON item.entry_id = ANY (whole.entry_ids)
), found AS MATERIALIZED (
    SELECT match_id, min(booked_on) AS first_on, max(booked_on) AS last_on,
           'batch_ref ' || min(key) AS why
    FROM legs GROUP BY match_id
){WRITE.format(rule="batch_sum", score=SCORES["batch_sum"], last="max(key)")}"""

EXACT: Mapping[str, str] = {
    "reference": _by_reference("reference", "end_to_end"),
    "bank_reference": _by_reference("bank_reference", "bank_ref"),
    "batch_sum": BATCH_SUM,
}

_BREAK_ID = """encode(sha256(convert_to(
        concat_ws('|', $1::bigint, {kind}, {item}), 'UTF8')), 'hex')"""
# $1 source, $2 after this day, $3 after this item, $4 the day as of which an open item is late.
BREAK_LINES = f"""
WITH chunk AS MATERIALIZED (
    SELECT line.id, line.amount, {LINE_DAY} AS opened_on,
           {LINE_DAY} + source.grace_days AS break_on
    FROM statement_lines AS line {_STATEMENT_OF_LINE}
    JOIN recon_sources AS source ON source.id = $1
    WHERE line.source_id = $1 AND line.id > $2 AND line.id <= $3 AND {open_line("line")}
    ORDER BY line.id LIMIT {CHUNK_LINES}
), opened AS (
    INSERT INTO recon_breaks (id, source_id, class, side, item_id, amount, opened_on, break_on)
    SELECT {_BREAK_ID.format(kind="'bank_only', 'line'", item="chunk.id")}, $1, 'bank_only',
           'line', chunk.id, amount, opened_on, break_on
    FROM chunk WHERE break_on < $4
    ON CONFLICT DO NOTHING RETURNING 1
)
SELECT (SELECT max(id) FROM chunk) AS last, (SELECT count(*) FROM opened) AS opened"""
BREAK_ENTRIES = f"""
WITH chunk AS MATERIALIZED (
    SELECT entry_id, amount, booked_on, break_on FROM open_entries
    WHERE source_id = $1 AND (break_on, entry_id) > ($2, $3) AND break_on < $4
    ORDER BY break_on, entry_id LIMIT {CHUNK_LINES}
), opened AS (
    INSERT INTO recon_breaks (id, source_id, class, side, item_id, amount, opened_on, break_on)
    SELECT {_BREAK_ID.format(kind="'missing_in_bank', 'entry'", item="entry_id")}, $1,
           'missing_in_bank', 'entry', entry_id, amount, booked_on, break_on
    FROM chunk ON CONFLICT DO NOTHING RETURNING 1
)
SELECT last.break_on AS last_on, last.entry_id AS last,
       (SELECT count(*) FROM opened) AS opened
FROM (SELECT) AS once
LEFT JOIN (SELECT break_on, entry_id FROM chunk
           ORDER BY break_on DESC, entry_id DESC LIMIT 1) AS last ON true"""
