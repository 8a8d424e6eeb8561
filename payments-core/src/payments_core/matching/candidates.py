"""Candidates: what an open line or entry may be matched with, and why no rule did so."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from payments_core.domain.matching import CANDIDATES_MAX
from payments_core.domain.money import currency_text
from payments_core.domain.statements import OPEN_LINE_STATUSES
from payments_core.matching.entries import match_key, open_line
from payments_core.matching.matches import ShowId, plain_id, undone_line
from payments_core.matching.returns import name_of, named_by_bank_ref, returned_payment

ALIKE_DAYS = 30  # Candidates of the same amount are booked at most this far apart.
_SHOWN = CANDIDATES_MAX + 1  # One more shows that there are more.

_ENTRY = "entry_id AS id, amount::text, reference, booked_on"
_LINE = "id, amount::text, end_to_end AS reference, booked_on"
# Of an item that is not open any more.
SETTLED: Mapping[str, object] = {"whyNot": None, "candidates": [], "proposedReversal": None}

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
# Of the items in $1, each with its own look-ups. `match_id + 0` is not looked for from the end of
# the legs' primary key.
_OF_LINES = f"""
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
              AND ({match_key("line.end_to_end")}) = item.name
              AND line.amount = item.amount LIMIT {_SHOWN}) AS rival) AS rivals,
       (SELECT max(match_id + 0) FROM match_legs AS was
        WHERE {undone_line("was")} = item.id) AS undone,
       CASE WHEN {open_line("item")} THEN {returned_payment("item")}::text END AS returned_payment,
       (SELECT count(*) FROM ({named_by_bank_ref("item")} LIMIT 2) AS two) AS named_by_bank_ref,
       item.name
FROM (SELECT line.*, {match_key(name_of("line"))} AS name FROM statement_lines AS line
      WHERE line.id = ANY ($1::bigint[]) OFFSET 0) AS item"""
_OF_ENTRIES = f"""
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
       NULL::bigint AS undone, NULL::text AS returned_payment,
       0 AS named_by_bank_ref, NULL::text AS name
FROM open_entries AS item WHERE item.entry_id = ANY ($1::bigint[])"""
_QUERIES = {"line": _OF_LINES, "entry": _OF_ENTRIES}


@dataclass(frozen=True, slots=True)
class Open:
    """An open line or entry, with the candidates for a match and why no rule took one."""

    side: str
    item: AnyRow
    named: Sequence[Mapping[str, Any]]
    alike: Sequence[Mapping[str, Any]]

    def as_json(self, shown: ShowId = plain_id) -> dict[str, object]:
        """Return why no rule matched it, and the candidates; `shown` makes their ids."""
        other = "entry" if self.side == "line" else "line"
        return {
            "whyNot": _why_not(self, shown),
            "candidates": [
                {
                    "id": shown(other, one["id"]),
                    "amount": currency_text(Decimal(one["amount"]), self.item.currency),
                    "reference": one["reference"],
                    "bookedOn": one["booked_on"],
                }
                for one in (self.named or self.alike)[:CANDIDATES_MAX]
            ],
            "proposedReversal": self.proposed_reversal(),
        }

    def proposed_reversal(self) -> dict[str, str] | None:
        """Return the reversal that this line alone asks for."""
        item = self.item
        if item.returned_payment is None or item.rivals + item.named_by_bank_ref > 1:
            return None
        return {
            "paymentId": item.returned_payment,
            "amount": currency_text(-item.amount, item.currency),
            "reference": item.name,
        }


def is_open_line(row: AnyRow) -> bool:
    """Return whether a rule or a person may match the line."""
    return row.status in OPEN_LINE_STATUSES and row.booking == "booked"


async def describe(tx: AsyncConnection, side: str, ids: Sequence[int]) -> list[Open]:
    """Return the lines or open entries with these ids, each with its candidates."""
    if not ids:
        return []
    found = await tx.exec_driver_sql(_QUERIES[side], (ids,))
    return [Open(side, item, json.loads(item.named), json.loads(item.alike)) for item in found]


async def describe_line(tx: AsyncConnection, line_id: int) -> Open | None:
    """Return an open line with its candidates, or None if there is no such line."""
    found = await describe(tx, "line", [line_id])
    return found[0] if found else None


def _why_not(of: Open, shown: ShowId) -> str:
    """Return why no rule matched the item, by its candidates of the same reference or amount."""
    side, item, named, alike = of.side, of.item, of.named, of.alike
    amount = item.amount
    other = "entry" if side == "line" else "line"
    same = [one for one in named if Decimal(one["amount"]) == amount]
    if proposed := of.proposed_reversal():
        return f"no reversal of payment {proposed['paymentId']} has this reference or amount"
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
        only = shown(other, named[0]["id"])
        difference = currency_text(amount - Decimal(named[0]["amount"]), item.currency)
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
