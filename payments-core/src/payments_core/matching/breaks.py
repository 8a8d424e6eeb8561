"""Breaks: open lines and entries past their days of grace, with the reason why no rule matched."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.audit_log import Operator, record_action
from payments_core.db.engine import AnyRow
from payments_core.db.keyset import OLDEST_FIRST, Walk
from payments_core.domain.matching import (
    CANDIDATES_MAX,
    BreakClass,
    BreakOrder,
    age_of,
)
from payments_core.domain.money import amount_text
from payments_core.domain.statements import OPEN_LINE_STATUSES
from payments_core.matching.entries import match_key, open_line
from payments_core.matching.matches import ItemNotFound, ShowId, plain_id

ALIKE_DAYS = 30  # Candidates of the same amount are booked at most this far apart.
_SHOWN = CANDIDATES_MAX + 1  # One more shows that there are more.

_ENTRY = "entry_id AS id, amount::text, reference, booked_on"
_LINE = "id, amount::text, end_to_end AS reference, booked_on"
_NAMES = ("end_to_end", "bank_ref", "batch_ref")


def _gathered(rows: str) -> str:
    """Return a subquery with the rows as one JSON array, in the order of ids."""
    return (
        f"(SELECT coalesce(jsonb_agg(to_jsonb(one) ORDER BY one.id), '[]')::text FROM ({rows}"
        f" LIMIT {_SHOWN}) AS one)"
    )


def _near(day: str) -> str:
    return f"booked_on BETWEEN {day} - {ALIKE_DAYS} AND {day} + {ALIKE_DAYS}"


_LINES = " UNION ".join(
    f"SELECT id, amount, end_to_end, booked_on FROM statement_lines AS line"
    f" WHERE line.source_id + 0 = item.source_id AND {open_line('line')} AND {name} IS NOT NULL"
    f" AND ({match_key(name)}) = item.reference"
    for name in _NAMES
)
# Of the items in $1, each with its own look-ups.
OF_LINES = f"""
SELECT item.id AS item_id, item.amount, item.end_to_end AS reference, item.bank_ref, item.batch_ref,
       item.counterparty, item.remittance, item.status, item.status_reason, item.currency,
       item.charges::text,
       NULL::text AS payment_id,
       {
    _gathered(
        f"SELECT {_ENTRY} FROM open_entries WHERE source_id - 0 = item.source_id AND reference IN ("
        + ", ".join(match_key(f"item.{name}") for name in _NAMES)
        + ") ORDER BY entry_id"
    )
} AS named,
       {
    _gathered(
        f"SELECT {_ENTRY} FROM open_entries WHERE source_id + 0 = item.source_id"
        f" AND - amount = - item.amount AND {_near('item.booked_on')} ORDER BY entry_id"
    )
} AS alike,
       (SELECT count(*) FROM (
            SELECT FROM statement_lines AS line WHERE line.source_id + 0 = item.source_id
              AND {open_line("line")} AND line.end_to_end IS NOT NULL
              AND ({match_key("line.end_to_end")}) = ({match_key("item.end_to_end")})
              AND line.amount = item.amount LIMIT {_SHOWN}) AS rival) AS rivals,
       (SELECT max(match_id) FROM match_legs WHERE NOT active AND side = 'line'
          AND item_id = item.id) AS undone
FROM statement_lines AS item WHERE item.id = ANY ($1::bigint[])"""
OF_ENTRIES = f"""
SELECT item.entry_id AS item_id, item.amount, item.reference, item.currency,
       (SELECT id::text FROM payments WHERE id = item.payment_id) AS payment_id,
       NULL::text AS charges, NULL::text AS status, NULL::text AS status_reason,
       NULL::text AS counterparty,
       NULL::text AS remittance, NULL::text AS bank_ref, NULL::text AS batch_ref,
       {_gathered(f"SELECT {_LINE} FROM ({_LINES}) AS line ORDER BY id")} AS named,
       {
    _gathered(
        f"SELECT {_LINE} FROM statement_lines AS line WHERE line.source_id + 0 = item.source_id"
        f" AND {open_line('line')} AND end_to_end IS NULL AND amount = item.amount"
        f" AND {_near('item.booked_on')} ORDER BY id"
    )
} AS alike,
       (SELECT count(*) FROM (
            SELECT FROM open_entries AS entry WHERE entry.source_id - 0 = item.source_id
              AND entry.reference = item.reference AND entry.amount = item.amount
            LIMIT {_SHOWN}) AS rival) AS rivals,
       NULL::bigint AS undone
FROM open_entries AS item WHERE item.entry_id = ANY ($1::bigint[])"""

_COLUMNS = "id, source_id, class, side, item_id, amount, opened_on, break_on, assignee, note"
# What the order goes by before the id.
_ORDERS: dict[BreakOrder, str] = {"age": "break_on", "amount": "-abs(amount)"}
SORTED_MAX = 50_000  # Of a source: no index has the amounts, so a page sorts its open breaks.
# $2 class, $3 assignee, $4 and $5 the first and the last day of the age, $6 limit, $7 and $8 the
# item of the break where the page starts. That break may be resolved by now, but never deleted.
# Those that are open are read by one index, in which the first due come first.
LIST = f"""
SELECT {_COLUMNS} FROM (
    SELECT * FROM recon_breaks WHERE source_id = $1 AND resolved_at IS NULL
    {{bound}}) AS one
WHERE ($2::text IS NULL OR class = $2) AND ($3::text IS NULL OR assignee = $3)
  AND opened_on BETWEEN $4 AND $5 {{beyond}}
ORDER BY {{key}} {{direction}}, id {{direction}} LIMIT $6"""
_START = "FROM recon_breaks WHERE source_id = $1 AND side = $7::text AND item_id = $8::bigint"
BEYOND = f"AND ({{key}}, id) {{compared}} ((SELECT {{key}} {_START}), (SELECT id {_START}))"
# $2 its id, or $3 and $4 its item.
FIND = f"""
SELECT {_COLUMNS}, resolved_at, resolved_by FROM recon_breaks
WHERE source_id = $1 AND (id = $2::text OR side = $3::text AND item_id = $4::bigint)"""
# An empty text removes the assignee or the note.
ANNOTATE = """
UPDATE recon_breaks SET assignee = nullif(coalesce($2, assignee), ''),
    note = nullif(coalesce($3, note), '')
WHERE id = $1 AND source_id = $4 RETURNING id"""


@dataclass(frozen=True, slots=True)
class Open:
    """An open line or entry, with the candidates for a match and why no rule took one."""

    side: str
    amount: Decimal
    item: AnyRow
    named: Sequence[Mapping[str, Any]]
    alike: Sequence[Mapping[str, Any]]

    def as_json(self, shown: ShowId = plain_id) -> dict[str, object]:
        """Return why no rule matched it, and the candidates; `shown` makes their ids."""
        other = "entry" if self.side == "line" else "line"
        return {
            "whyNot": why_not(self.side, self.amount, self.item, self.named, self.alike, shown),
            "candidates": [
                {
                    "id": shown(other, one["id"]),
                    "amount": one["amount"],
                    "reference": one["reference"],
                    "bookedOn": one["booked_on"],
                }
                for one in (self.named or self.alike)[:CANDIDATES_MAX]
            ],
        }


@dataclass(frozen=True, slots=True)
class Break:
    """A break with the open item that it is of; `open` is None once the item has been settled."""

    row: AnyRow
    open: Open | None

    def as_json(self, as_of: date, shown: ShowId = plain_id) -> dict[str, object]:
        """Return the break as the API and the command show it."""
        row, item = self.row, self.open and self.open.item
        days = max(0, (as_of - row.opened_on).days)
        settled: dict[str, object] = {"whyNot": None, "candidates": []}
        return {
            "id": row.id,
            "class": row._mapping["class"],
            "side": row.side,
            "itemId": shown(row.side, row.item_id),
            "amount": amount_text(row.amount),
            "currency": item and item.currency,
            "reference": item and item.reference,
            "counterparty": item and item.counterparty,
            "remittance": item and item.remittance,
            "paymentId": item and item.payment_id,
            "bookedOn": row.opened_on.isoformat(),
            "breakOn": row.break_on.isoformat(),
            "ageDays": days,
            "age": age_of(days),
            "assignee": row.assignee,
            "note": row.note,
            **(self.open.as_json(shown) if self.open else settled),
        }


@dataclass(frozen=True, slots=True)
class BreakFilter:
    """Which breaks to list; None is no restriction. Days are of the booking."""

    break_class: BreakClass | None = None
    assignee: str | None = None
    from_on: date = date.min
    to_on: date = date.max


async def list_breaks(
    tx: AsyncConnection,
    source_id: int,
    which: BreakFilter,
    limit: int,
    order: BreakOrder = "age",
    walk: Walk[tuple[str, int]] = OLDEST_FIRST,
) -> list[Break]:
    """Return open breaks, the oldest or the largest first, along a walk that starts at an item.

    A break whose item was settled since is among them, without its item. The order by amount is
    of the SORTED_MAX breaks that are due first.
    """
    values = (source_id, which.break_class, which.assignee, which.from_on, which.to_on, limit)
    key = _ORDERS[order]
    beyond = BEYOND.format(key=key, compared=walk.comparison) if walk.start else ""
    bound = f"ORDER BY break_on, id LIMIT {SORTED_MAX}" if order == "amount" else ""
    query = LIST.format(key=key, direction=walk.direction, beyond=beyond, bound=bound)
    rows = (await tx.exec_driver_sql(query, (*values, *(walk.start or ())))).all()
    return await _described(tx, rows)


async def find_break(
    tx: AsyncConnection, source_id: int, break_id: str | None, side: str | None, item_id: int | None
) -> Break:
    """Return a break by its id or by its item. Raises ItemNotFound."""
    values = (source_id, break_id, side, item_id)
    rows = (await tx.exec_driver_sql(FIND, values)).all()
    if not rows:
        raise ItemNotFound("no such break of this source")
    return (await _described(tx, rows))[0]


def is_open_line(row: AnyRow) -> bool:
    """Return whether a rule or a person may match the line."""
    return row.status in OPEN_LINE_STATUSES and row.booking == "booked"


async def describe_line(tx: AsyncConnection, line_id: int) -> Open | None:
    """Return an open line with its candidates, or None if there is no such line."""
    item = (await tx.exec_driver_sql(OF_LINES, ([line_id],))).one_or_none()
    return item and _open("line", item)


async def _described(tx: AsyncConnection, rows: Sequence[AnyRow]) -> list[Break]:
    found = {}
    for side, query in (("line", OF_LINES), ("entry", OF_ENTRIES)):
        ids = [row.item_id for row in rows if row.side == side and not is_resolved(row)]
        items = await tx.exec_driver_sql(query, (ids,)) if ids else ()
        found.update({(side, item.item_id): _open(side, item) for item in items})
    return [Break(row, found.get((row.side, row.item_id))) for row in rows]


def is_resolved(row: AnyRow) -> bool:
    """Return whether the break is resolved; the rows of a list are not."""
    return getattr(row, "resolved_at", None) is not None


def _open(side: str, item: AnyRow) -> Open:
    return Open(side, item.amount, item, json.loads(item.named), json.loads(item.alike))


def why_not(
    side: str,
    amount: Decimal,
    item: AnyRow,
    named: Sequence[Mapping[str, Any]],
    alike: Sequence[Mapping[str, Any]],
    shown: ShowId,
) -> str:
    """Return why no rule matched the item, by its candidates of the same reference or amount."""
    other = "entry" if side == "line" else "line"
    same = [one for one in named if Decimal(one["amount"]) == amount]
    if item.undone is not None and (same or alike):
        return f"match {shown('match', item.undone)} was undone"
    if len(same) > 1:
        return f"{_number(same, other)} have this reference and amount"
    if same and item.rivals > 1:
        mine = "lines" if side == "line" else "entries"
        return f"{item.rivals} {mine} have this reference and amount, one {other} has"
    if same:
        only = shown(other, same[0]["id"])
        return f"{other} {only} has this reference and amount: the next run decides"
    if len(named) == 1:
        difference, only = amount - Decimal(named[0]["amount"]), shown(other, named[0]["id"])
        return f"{other} {only} has this reference; the amounts differ by {difference}"
    if named:
        return f"{_number(named, other)} have this reference, in other amounts"
    if alike:
        verb = "has" if len(alike) == 1 else "have"
        return f"no {other} has this reference; {_number(alike, other)} {verb} this amount"
    return f"no open {other} has this reference or amount"


def _number(found: Sequence[object], noun: str) -> str:
    plural = {"entry": "entries", "line": "lines"}[noun]
    if len(found) > CANDIDATES_MAX:
        return f"more than {CANDIDATES_MAX} {plural}"
    return f"{len(found)} {noun if len(found) == 1 else plural}"


async def annotate(
    tx: AsyncConnection,
    source_id: int,
    break_id: str,
    operator: Operator,
    assignee: str | None,
    note: str | None,
) -> None:
    """Assign a break, or write its note; None leaves either, "" removes it. Raises ItemNotFound."""
    done = await tx.exec_driver_sql(ANNOTATE, (break_id, assignee, note, source_id))
    if done.one_or_none() is None:
        raise ItemNotFound(f"no break {break_id} of this source")
    assigned = assignee and f"assigned to {assignee}"
    removed = [
        f"no {name}" for name, text in (("assignee", assignee), ("note", note)) if text == ""
    ]
    text = "; ".join([part for part in (assigned, note) if part] + removed)
    await record_action(tx, "annotate", operator, text, subject=f"break {break_id}")
