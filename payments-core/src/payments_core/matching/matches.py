"""Match lines with entries by hand, and undo matches. Either takes effect whole, in one statement.

A line and an entry are in one active match at most, by a unique index; lines are locked before
entries, so two actors never wait for each other in a circle.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.audit_log import Operator, record_action
from payments_core.db.engine import AnyRow
from payments_core.domain.matching import HAND_LEGS_MAX, SCORES
from payments_core.domain.money import currency_text
from payments_core.matching.entries import COLUMNS, ROW, TABLES, open_line


class ItemNotFound(LookupError):
    """No such line, entry, match or break of this source."""


ShowId = Callable[[str, int], int | str]  # From an item's kind and number to its id as shown.


def plain_id(kind: str, number: int) -> int | str:
    """Return an item's id as the commands show it: its number."""
    return number


class MatchRefused(ValueError):
    """The match cannot be made or undone; the text says why.

    A text about one item has a place `{}` for its id, which `told` fills in.
    """

    def __init__(self, text: str, kind: str = "", number: int = 0) -> None:
        self._text, self._kind, self._number = text, kind, number
        super().__init__(self.told(plain_id))

    def told(self, shown: ShowId) -> str:
        """Return the text for a reader who knows items by these ids."""
        if not self._kind:
            return self._text
        return self._text.replace("{}", f"{self._kind} {shown(self._kind, self._number)}", 1)


# The day on which the bank counts a line is within its statement, whatever the line says.
LINE_DAY = "greatest(least(line.booked_on, statement.to_on), statement.from_on)"


def undone_line(leg: str) -> str:
    """Return SQL for the line of an undone leg, NULL for other legs, for a table with this name.

    Only the index of this expression serves it, whatever statistics say.
    """
    return f"CASE WHEN {leg}.side = 'line' AND NOT {leg}.active THEN {leg}.item_id END"


def matched_status(line: str) -> str:
    """Return SQL for the status of a matched line, for a table with this name."""
    returned = f"{line}.return_reason IS NOT NULL AND {line}.amount < 0"
    return f"CASE WHEN {returned} THEN 'returned' ELSE 'matched' END"


LOCK_LINES = f"""
SELECT line.id, line.amount, line.currency, line.status, line.status_reason, line.booking,
       {LINE_DAY} AS booked_on, {open_line("line")} AS open,
       line.booking = 'booked' AND statement.kind = 'statement' AS final
FROM statement_lines AS line JOIN statements AS statement ON statement.id = line.statement_id
WHERE line.source_id = $1 AND line.id = ANY ($2::bigint[]) ORDER BY line.id FOR UPDATE OF line"""
TAKE_ENTRIES = """
DELETE FROM open_entries WHERE source_id = $1 AND entry_id = ANY ($2::bigint[])
RETURNING entry_id AS id, amount, currency, booked_on"""
NEXT_ID = "SELECT nextval('recon_matches_id_seq')"

# $1 source, $2 match, $3 actor, $4 why. The legs: $5 side, $6 item, $7 amount, $8 day, $9 former
# status, $10 former reason.
MATCH_BY_HAND = f"""
WITH legs AS MATERIALIZED (
    SELECT * FROM unnest($5::text[], $6::bigint[], $7::numeric[], $8::date[], $9::text[],
                         $10::text[])
        AS leg (side, item_id, amount, booked_on, status, status_reason)
), held AS (
    UPDATE statement_lines AS line SET status = {matched_status("line")}, status_reason = NULL
    FROM legs WHERE legs.side = 'line' AND line.id = legs.item_id
), matched AS (
    INSERT INTO recon_matches (id, source_id, rule, why, score, actor, first_on, last_on)
    SELECT $2::bigint, $1::bigint, 'manual', $4, {SCORES["manual"]}, $3::text, min(booked_on),
           max(booked_on)
    FROM legs
), resolved AS (
    UPDATE recon_breaks SET resolved_at = clock_timestamp(), resolved_by = $3::text
    FROM legs WHERE recon_breaks.side = legs.side AND recon_breaks.item_id = legs.item_id
)
INSERT INTO match_legs (match_id, side, item_id, amount, booked_on, former_status, former_reason)
SELECT $2::bigint, side, item_id, amount, booked_on, status, status_reason FROM legs"""

# $1 matches, $2 actor, $3 reason: NULL if their run is undone, $4 their source. An entry is open
# again as the cut would make it; a line has its former status. Ids pass through arrays: a join of
# thousands of them would be planned by statistics that may know of none.
UNDO = f"""
WITH undone AS (
    UPDATE recon_matches SET undone_at = clock_timestamp(), undone_by = $2, undone_reason = $3
    WHERE id = ANY ($1::bigint[]) AND undone_at IS NULL RETURNING 1
), freed AS MATERIALIZED (
    UPDATE match_legs SET active = false WHERE match_id = ANY ($1::bigint[]) AND active
    RETURNING side, item_id
), reopened AS (
    UPDATE statement_lines AS line
    SET (status, status_reason) = (
        SELECT former_status, former_reason FROM match_legs AS freed_leg
        WHERE item_id = line.id AND side = 'line' AND active)
    WHERE line.id = ANY (ARRAY(SELECT item_id FROM freed WHERE side = 'line'))
), restored AS (
    INSERT INTO open_entries ({COLUMNS})
    SELECT {ROW}
    FROM {TABLES} JOIN recon_sources AS source ON source.id = $4
    WHERE entry.id = ANY (ARRAY(SELECT item_id FROM freed WHERE side = 'entry'))
), opened_lines AS (
    UPDATE recon_breaks SET resolved_at = NULL, resolved_by = NULL
    WHERE side = 'line' AND item_id = ANY (ARRAY(SELECT item_id FROM freed WHERE side = 'line'))
), opened_entries AS (
    UPDATE recon_breaks SET resolved_at = NULL, resolved_by = NULL
    WHERE side = 'entry' AND item_id = ANY (ARRAY(SELECT item_id FROM freed WHERE side = 'entry'))
)
SELECT count(*) FROM undone"""

FIND_MATCH = """
SELECT id, source_id, undone_at, undone_by FROM recon_matches
WHERE id = $2 AND source_id = $1 FOR UPDATE"""


async def match_by_hand(
    tx: AsyncConnection,
    source_id: int,
    line_ids: Sequence[int],
    entry_ids: Sequence[int],
    operator: Operator,
    reason: str,
) -> int:
    """Match one line with entries, or lines with one entry; return the match's id.

    Raises ItemNotFound, MatchRefused.
    """
    line_ids, entry_ids = sorted(set(line_ids)), sorted(set(entry_ids))
    _check_sides(line_ids, entry_ids)
    lines = await lock_lines(tx, source_id, line_ids)
    entries = await take_entries(tx, source_id, entry_ids)
    _check_sums(lines, entries)
    match_id = await store_match(tx, source_id, lines, entries, operator, reason)
    await record_action(tx, "match", operator, reason, subject=f"match {match_id}")
    return match_id


async def lock_lines(
    tx: AsyncConnection, source_id: int, line_ids: Sequence[int]
) -> Sequence[AnyRow]:
    """Lock open lines and return them. Raises ItemNotFound, MatchRefused."""
    lines = (await tx.exec_driver_sql(LOCK_LINES, (source_id, line_ids))).all()
    _check_lines(line_ids, lines)
    return lines


async def take_entries(
    tx: AsyncConnection, source_id: int, entry_ids: Sequence[int]
) -> Sequence[AnyRow]:
    """Take entries from the open ones and return them. Raises MatchRefused if one is not open."""
    entries = (await tx.exec_driver_sql(TAKE_ENTRIES, (source_id, entry_ids))).all()
    check_open(entry_ids, entries)
    return entries


def check_open(entry_ids: Sequence[int], entries: Sequence[AnyRow]) -> None:
    """Raise MatchRefused if an entry is not among the open ones that were found."""
    if missing := set(entry_ids) - {entry.id for entry in entries}:
        text = "{} is not open: it is matched, or not of the source"
        raise MatchRefused(text, "entry", min(missing))


async def store_match(
    tx: AsyncConnection,
    source_id: int,
    lines: Sequence[AnyRow],
    entries: Sequence[AnyRow],
    operator: Operator,
    why: str,
) -> int:
    """Store a match of locked lines with entries that were taken; return its id."""
    match_id: int = (await tx.exec_driver_sql(NEXT_ID)).scalar_one()
    sides = ["line"] * len(lines) + ["entry"] * len(entries)
    items = (*lines, *entries)
    none = [None] * len(entries)
    values = (
        *(source_id, match_id, operator.name, why, sides),
        [item.id for item in items],
        [item.amount for item in items],
        [item.booked_on for item in items],
        [line.status for line in lines] + none,
        [line.status_reason for line in lines] + none,
    )
    await tx.exec_driver_sql(MATCH_BY_HAND, values)
    return match_id


def _check_sides(line_ids: Sequence[int], entry_ids: Sequence[int]) -> None:
    if not line_ids or not entry_ids or (len(line_ids) > 1 and len(entry_ids) > 1):
        raise MatchRefused("match one line with entries, or lines with one entry")
    if len(line_ids) + len(entry_ids) > HAND_LEGS_MAX:
        raise MatchRefused(f"a match by hand has at most {HAND_LEGS_MAX} lines and entries")


def _check_lines(line_ids: Sequence[int], lines: Sequence[AnyRow]) -> None:
    if missing := set(line_ids) - {line.id for line in lines}:
        raise ItemNotFound(f"no line {min(missing)} of this source")
    for line in lines:
        if not line.open:
            state = line.status if line.booking == "booked" else line.booking
            raise MatchRefused(f"{{}} is not open: it is {state}", "line", line.id)


def _check_sums(lines: Sequence[AnyRow], entries: Sequence[AnyRow]) -> None:
    of_lines = sum((line.amount for line in lines), Decimal())
    of_entries = sum((entry.amount for entry in entries), Decimal())
    if of_lines != of_entries:
        sums = [currency_text(each, lines[0].currency) for each in (of_lines, of_entries)]
        raise MatchRefused("the lines sum to {}, the entries to {}".format(*sums))
    currencies = {item.currency for item in (*lines, *entries)}
    if len(currencies) != 1:
        raise MatchRefused(f"the currencies differ: {', '.join(sorted(currencies))}")


async def undo_match(
    tx: AsyncConnection, source_id: int, match_id: int, operator: Operator, reason: str
) -> None:
    """Undo one match: its lines and entries are open as before. No run makes it again.

    Raises ItemNotFound, MatchRefused.
    """
    found = (await tx.exec_driver_sql(FIND_MATCH, (source_id, match_id))).one_or_none()
    if found is None:
        raise ItemNotFound(f"no match {match_id} of this source")
    if found.undone_at is not None:
        # An operator's name may have any characters: it is no template.
        raise MatchRefused(f"{{}} has been undone by {found.undone_by}", "match", match_id)
    await tx.exec_driver_sql(UNDO, ([match_id], operator.name, reason, source_id))
    await record_action(tx, "undo_match", operator, reason, subject=f"match {match_id}")
