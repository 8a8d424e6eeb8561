"""Whether a source's balances follow from its lines: the levels of its chain of statements.

The level of a day is its closing balance without all lines up to it: one number along the whole
chain, the first opening balance, in whatever order and overlap the statements arrived. Where it
steps, balances and lines disagree: an operator accepted a file of this day or since the last
balance before it; or any earlier file, if this day followed nothing when it was imported, so that
parts of an accepted gap may arrive; or a row was tampered with. A statement that only repeats known
lines is no part of the chain, since it may be one page of its day; nor are reports and
notifications, which are not final.
"""

from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from payments_core.matching.matches import LINE_DAY

# A condition on rows of statements. An operator who accepts known lines with another balance
# approves that balance.
IN_CHAIN = """kind = 'statement' AND closing IS NOT NULL
    AND (known_count < line_count OR line_count = 0
         OR (accepted_by IS NOT NULL AND previous_id IS NOT NULL))"""
# Sorts statements of the same days: in the order of arrival, except that pages of a first day may
# arrive in reverse. A page that followed nothing comes before an earlier arrival that opens with
# its closing balance.
PLACE = f"""
    CASE WHEN previous_id IS NULL AND known_count < line_count AND EXISTS (
        SELECT FROM statements AS page
        WHERE page.source_id = statement.source_id AND page.to_on = statement.to_on
          AND page.id < statement.id AND page.opening = statement.closing AND {IN_CHAIN}
    ) THEN -id ELSE id END"""


def lines_ahead(day: str, only: str = "true") -> str:
    """Return SQL for the sum of the booked lines of source $1 up to a day, stored ahead of it.

    These are lines of statements that end after the day. `only` is a condition on the statements.
    """
    # The statements come first, since they are few and usually none: LATERAL keeps Postgres from
    # reading all lines.
    return f"""
    coalesce((SELECT sum(ahead.amount) FROM statements AS statement
              CROSS JOIN LATERAL (
                  SELECT sum(line.amount) AS amount FROM statement_lines AS line
                  WHERE line.statement_id = statement.id AND line.booking = 'booked'
                    AND {LINE_DAY} <= {day}
              ) AS ahead
              WHERE statement.source_id = $1 AND statement.kind = 'statement'
                AND statement.from_on <= {day} AND statement.to_on > {day} AND {only}), 0)"""


# The days of source $1 with which a statement ends, where `lines` sums all that ended by then; and
# the level by the opening balance of the earliest statement.
CHAIN = f"""
WITH days AS (
    SELECT to_on, min(from_on) AS from_on, count(accepted_by) AS accepted,
           sum(count(accepted_by)) OVER (ORDER BY to_on) AS accepted_so_far,
           bool_or(previous_id IS NULL AND {IN_CHAIN}) AS is_after_gap,
           sum(sum(net - known_net)) OVER (ORDER BY to_on) AS lines,
           (array_agg(closing ORDER BY {PLACE} DESC) FILTER (WHERE {IN_CHAIN}))[1] AS closing
    FROM statements AS statement WHERE source_id = $1 AND kind = 'statement' GROUP BY to_on
), base AS (
    SELECT statement.opening - coalesce((
               SELECT lines FROM days WHERE to_on < statement.from_on ORDER BY to_on DESC LIMIT 1
           ), 0) AS level
    FROM statements AS statement
    WHERE source_id = $1 AND kind = 'statement' AND opening IS NOT NULL
    ORDER BY from_on, {PLACE} LIMIT 1
), chain AS (
    SELECT *, accepted_so_far > CASE WHEN is_after_gap THEN 0
               ELSE lag(accepted_so_far - accepted, 1, 0) OVER in_order END AS is_vouched_for,
           lag(to_on) OVER in_order AS previous_on, lead(to_on) OVER in_order AS next_on
    FROM days WHERE closing IS NOT NULL WINDOW in_order AS (ORDER BY to_on)
)"""
# The day's balance does not include a line that the bank books later on an earlier day: the line's
# statement continues that balance.
_IN_BALANCE = """
    (statement.accepted_by IS NOT NULL OR coalesce((
        SELECT previous.to_on < chain.to_on FROM statements AS previous
        WHERE previous.id = statement.previous_id), true))"""
LEVEL = f"closing - lines - {lines_ahead('chain.to_on', _IN_BALANCE)}"

# Among the days from $2 to $3, and the one before and the one after them.
_FIRST_STEP = f"""
{CHAIN}, levels AS (
    SELECT to_on, previous_on, closing, is_vouched_for, {LEVEL} AS level FROM chain
    WHERE coalesce(next_on >= $2, true) AND coalesce(previous_on <= $3, true)
), steps AS (
    SELECT *, level - CASE WHEN previous_on IS NULL THEN (SELECT level FROM base)
                           ELSE lag(level) OVER (ORDER BY to_on) END AS step
    FROM levels
)
SELECT to_on, closing, closing - step AS expected FROM steps
WHERE step <> 0 AND NOT is_vouched_for ORDER BY to_on LIMIT 1"""


async def first_step(
    tx: AsyncConnection, source_id: int, from_on: date, to_on: date
) -> AnyRow | None:
    """Return the first day whose balance does not follow from the lines, unless accepted.

    Looks at the days that a statement of these days can have changed. The row has `to_on`, the
    `closing` balance, and the `expected` one that the lines make.
    """
    query = (source_id, from_on, to_on)
    return (await tx.exec_driver_sql(_FIRST_STEP, query)).one_or_none()
