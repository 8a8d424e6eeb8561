"""Breaks: open lines and entries past their days of grace."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.audit_log import Operator, record_action
from payments_core.db.engine import AnyRow
from payments_core.db.keyset import OLDEST_FIRST, Walk
from payments_core.domain.matching import (
    BreakClass,
    BreakOrder,
    age_of,
)
from payments_core.domain.money import currency_text
from payments_core.matching.candidates import SETTLED, Open, describe
from payments_core.matching.matches import ItemNotFound, ShowId, plain_id

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
class Break:
    """A break with the open item that it is of; `open` is None once the item has been settled."""

    row: AnyRow
    open: Open | None

    def as_json(self, as_of: date, currency: str, shown: ShowId = plain_id) -> dict[str, object]:
        """Return the break as the API and the command show it; the currency is its source's."""
        row, item = self.row, self.open and self.open.item
        days = max(0, (as_of - row.opened_on).days)
        return {
            "id": row.id,
            "class": row._mapping["class"],
            "side": row.side,
            "itemId": shown(row.side, row.item_id),
            "amount": currency_text(row.amount, currency),
            "currency": currency,
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
            **(self.open.as_json(shown) if self.open else SETTLED),
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


async def _described(tx: AsyncConnection, rows: Sequence[AnyRow]) -> list[Break]:
    found: dict[tuple[str, int], Open] = {}
    for side in ("line", "entry"):
        ids = [row.item_id for row in rows if row.side == side and not is_resolved(row)]
        found.update({(side, each.item.item_id): each for each in await describe(tx, side, ids)})
    return [Break(row, found.get((row.side, row.item_id))) for row in rows]


def is_resolved(row: AnyRow) -> bool:
    """Return whether the break is resolved; the rows of a list are not."""
    return getattr(row, "resolved_at", None) is not None


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
