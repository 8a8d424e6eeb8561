"""Queries of matching: open lines and entries, one line, one match with its legs, runs."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from payments_core.db.keyset import Walk
from payments_core.matching.entries import match_key, open_line

LAST_ID = 2**63 - 1
LEGS_SHOWN_MAX = 100  # Of each side of a match: a batch may have thousands.

_LINE = "line.*, statement.number, statement.file_id"
_FROM = "statement_lines AS line JOIN statements AS statement ON statement.id = line.statement_id"
OPEN_LINES = f"""
SELECT {_LINE} FROM {_FROM}
WHERE line.source_id = $1 AND {open_line("line")} AND line.id {{compared}} $2
  AND ($3::text IS NULL OR line.status = $3)
ORDER BY line.id {{direction}} LIMIT $4"""
LINE = f"""
SELECT {_LINE}, (SELECT match_id FROM match_legs WHERE side = 'line' AND item_id = line.id
                 AND active) AS match_id
FROM {_FROM} WHERE line.source_id = $1 AND line.id = $2"""

# Of an adjustment's entry, `payment_id` is the adjustment.
_ADJUSTMENT = "(SELECT id FROM recon_adjustments WHERE id = payment_id) AS adjustment_id"
_ENTRY = (
    f"entry_id AS id, payment_id, amount, currency, reference, booked_on, break_on, {_ADJUSTMENT}"
)
# $2 and $3: the key of the entry where the page starts. The conditions are those of the indexes.
OPEN_ENTRIES = f"""
SELECT {_ENTRY} FROM open_entries
WHERE source_id {{plus}} = $1 AND (break_on, entry_id) {{compared}} ($2, $3) {{filters}}
ORDER BY break_on {{direction}}, entry_id {{direction}} LIMIT $4"""

MATCH = "SELECT * FROM recon_matches WHERE source_id = $1 AND id = $2"
_LEGS = f"""
SELECT item_id, amount, booked_on FROM match_legs
WHERE match_id = $1 AND side = '{{side}}' ORDER BY item_id LIMIT {LEGS_SHOWN_MAX}"""
# OFFSET 0 keeps one look-up for each leg.
LINES_OF_MATCH = f"""
SELECT {_LINE} FROM ({_LEGS.format(side="line")}) AS leg
CROSS JOIN LATERAL (SELECT * FROM statement_lines WHERE id = leg.item_id OFFSET 0) AS line
CROSS JOIN LATERAL (
    SELECT number, file_id FROM statements WHERE id = line.statement_id OFFSET 0) AS statement
ORDER BY line.id"""
ENTRIES_OF_MATCH = f"""
SELECT leg.item_id AS id, leg.amount, leg.booked_on, entry.payment_id, entry.currency,
       {_ADJUSTMENT}
FROM ({_LEGS.format(side="entry")}) AS leg
CROSS JOIN LATERAL (
    SELECT payment_id, currency FROM ledger_entries WHERE id = leg.item_id OFFSET 0) AS entry
ORDER BY leg.item_id"""
LEGS_COUNTED = """
SELECT count(*) FILTER (WHERE side = 'line') AS lines,
       count(*) FILTER (WHERE side = 'entry') AS entries,
       sum(amount) FILTER (WHERE side = 'line') AS amount
FROM match_legs WHERE match_id = $1"""

RUNS = """
SELECT * FROM recon_runs WHERE source_id = $1 AND id {compared} $2
ORDER BY id {direction} LIMIT $3"""


async def list_open_lines(
    tx: AsyncConnection, source_id: int, status: str | None, limit: int, walk: Walk[int]
) -> Sequence[AnyRow]:
    """Return the open lines of a source, in the order of their import."""
    values = (source_id, walk.start or 0, status, limit)
    query = OPEN_LINES.format(compared=walk.comparison, direction=walk.direction)
    return (await tx.exec_driver_sql(query, values)).all()


async def find_line(tx: AsyncConnection, source_id: int, line_id: int) -> AnyRow | None:
    """Return a line of the source with the id of its active match, or None."""
    return (await tx.exec_driver_sql(LINE, (source_id, line_id))).one_or_none()


async def list_open_entries(
    tx: AsyncConnection,
    source_id: int,
    limit: int,
    walk: Walk[int],
    reference: str | None = None,
    amount: Decimal | None = None,
) -> Sequence[AnyRow]:
    """Return the open entries of a source, the first to be missing in the bank first."""
    values: list[object] = [source_id, *_key_of(walk.start), limit]
    filters, plus = [], ""
    if reference is not None:
        values.append(reference)
        filters.append(f"AND reference = ({match_key(f'${len(values)}::text')})")
        plus = "- 0"
    if amount is not None:
        values.append(amount)
        filters.append(f"AND - amount = - ${len(values)}::numeric")
        plus = plus or "+ 0"
    query = OPEN_ENTRIES.format(
        plus=plus,
        filters=" ".join(filters),
        compared=walk.comparison,
        direction=walk.direction,
    )
    return (await tx.exec_driver_sql(query, tuple(values))).all()


_ENTRY_BITS = 40  # A trillion entries; 23 bits remain for the day, which has 22.


def key_of_entry(row: AnyRow) -> int:
    """Return the place of an open entry in its list, as one number."""
    return int(row.break_on.toordinal()) << _ENTRY_BITS | int(row.id)


def _key_of(number: int | None) -> tuple[date, int]:
    if number is None:
        return date.min, 0
    day, entry_id = number >> _ENTRY_BITS, number & (1 << _ENTRY_BITS) - 1
    return date.min + timedelta(days=day - 1), entry_id


async def find_match(tx: AsyncConnection, source_id: int, match_id: int) -> AnyRow | None:
    """Return a match of the source, or None."""
    return (await tx.exec_driver_sql(MATCH, (source_id, match_id))).one_or_none()


async def legs_of(
    tx: AsyncConnection, match_id: int
) -> tuple[AnyRow, Sequence[AnyRow], Sequence[AnyRow]]:
    """Return a match's numbers of lines and entries with its sum, and the first of either."""
    counted = (await tx.exec_driver_sql(LEGS_COUNTED, (match_id,))).one()
    lines = (await tx.exec_driver_sql(LINES_OF_MATCH, (match_id,))).all()
    entries = (await tx.exec_driver_sql(ENTRIES_OF_MATCH, (match_id,))).all()
    return counted, lines, entries


async def list_runs(
    tx: AsyncConnection, source_id: int, limit: int, walk: Walk[int]
) -> Sequence[AnyRow]:
    """Return the runs of a source, newest first."""
    query = RUNS.format(compared=walk.comparison, direction=walk.direction)
    start = LAST_ID if walk.start is None else walk.start
    return (await tx.exec_driver_sql(query, (source_id, start, limit))).all()
