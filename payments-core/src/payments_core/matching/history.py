"""Matches and resolved breaks: the history, of which a page examines a bounded number of rows.

No index has them by source, because each match of a night would write one more entry for it. A page
walks the primary key of all sources, so it may be short, or empty, with a place to go on from: see
docs/decisions/0034-filters-without-an-index.md.
"""

from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from payments_core.db.keyset import EXAMINED_MAX, NEWEST_FIRST, Found, KeyT, Walk
from payments_core.domain.matching import BreakClass, MatchStatus
from payments_core.domain.money import currency_text
from payments_core.domain.payments import time_or_none, utc_text
from payments_core.matching.matches import ShowId, plain_id

# $1 and, of matches, $2: where the walk starts, and the run. That look-up has an index.
_MATCHES = "recon_matches WHERE id {compared} $1::bigint AND {of_run} ORDER BY id {direction}"
_OF_RUN = "run_id = $2::bigint", "$2::bigint IS NULL"
_BREAKS = """recon_breaks WHERE (side, item_id) {compared} ($1::text, $2::bigint)
ORDER BY side {direction}, item_id {direction}"""
# One side of a match has one leg, whose amount is the sum of the other's.
_AMOUNT = " ".join(
    f"""WHEN (SELECT count(*) FROM (SELECT FROM match_legs
          WHERE match_id = listed.id AND side = '{side}' LIMIT 2) AS two) = 1
     THEN (SELECT amount FROM match_legs
           WHERE match_id = listed.id AND side = '{side}' LIMIT 1)"""
    for side in ("line", "entry")
)
MATCHES = f"""
SELECT listed.*, CASE {_AMOUNT} END AS amount FROM (
    SELECT * FROM (SELECT * FROM {_MATCHES} LIMIT {{examined}}) AS examined
    WHERE source_id = $3 AND (undone_at IS NULL) = $4
    ORDER BY id {{direction}} LIMIT $5) AS listed
ORDER BY listed.id {{direction}}"""
MATCHES_END = f"SELECT id FROM {_MATCHES} OFFSET {{skipped}} LIMIT 1"
BREAKS = f"""
SELECT * FROM (SELECT * FROM {_BREAKS} LIMIT {{examined}}) AS examined
WHERE source_id = $3 AND resolved_at IS NOT NULL
  AND ($4::text IS NULL OR class = $4) AND ($5::text IS NULL OR assignee = $5)
ORDER BY side {{direction}}, item_id {{direction}} LIMIT $6"""
BREAKS_END = f"SELECT side, item_id FROM {_BREAKS} OFFSET {{skipped}} LIMIT 1"

_LAST_ID = 2**63 - 1


async def list_matches(
    tx: AsyncConnection,
    source_id: int,
    limit: int,
    status: MatchStatus = "active",
    run_id: int | None = None,
    walk: Walk[int] = NEWEST_FIRST,
) -> Found[int]:
    """Return matches of a source, each with its amount, newest first."""
    words = {**_words(walk), "of_run": _OF_RUN[run_id is None]}
    start = walk.start if walk.start is not None else (_LAST_ID if walk.descending else 0)
    values = (start, run_id, source_id, status == "active", limit)
    rows = (await tx.exec_driver_sql(MATCHES.format(**words), values)).all()
    if len(rows) == limit:
        return Found(rows)
    end = await tx.exec_driver_sql(MATCHES_END.format(**words), (start, run_id))
    return Found(rows, end.scalar())


async def list_resolved_breaks(
    tx: AsyncConnection,
    source_id: int,
    limit: int,
    break_class: BreakClass | None = None,
    assignee: str | None = None,
    walk: Walk[tuple[str, int]] = NEWEST_FIRST,
) -> Found[tuple[str, int]]:
    """Return resolved breaks of a source: of lines, then of entries, newest item first."""
    words = _words(walk)
    start = walk.start or (("line", _LAST_ID) if walk.descending else ("", 0))
    values = (*start, source_id, break_class, assignee, limit)
    rows = (await tx.exec_driver_sql(BREAKS.format(**words), values)).all()
    if len(rows) == limit:
        return Found(rows)
    end = (await tx.exec_driver_sql(BREAKS_END.format(**words), start)).one_or_none()
    return Found(rows, end and (end.side, end.item_id))


def _words(walk: Walk[KeyT]) -> dict[str, object]:
    return {
        "compared": walk.comparison,
        "direction": walk.direction,
        "examined": EXAMINED_MAX,
        "skipped": walk.skipped(EXAMINED_MAX),
    }


def match_json(
    row: AnyRow, amount: Decimal, currency: str, shown: ShowId = plain_id
) -> dict[str, Any]:
    """Return the match as the API and the command show it; the currency is its source's."""
    return {
        "id": shown("match", row.id),
        "runId": None if row.run_id is None else shown("run", row.run_id),
        "rule": row.rule,
        "score": row.score,
        "why": row.why,
        "actor": row.actor,
        "createdAt": utc_text(row.created_at),
        "undoneAt": time_or_none(row.undone_at),
        "undoneBy": row.undone_by,
        "undoneReason": row.undone_reason,
        "amount": currency_text(amount, currency),
    }
