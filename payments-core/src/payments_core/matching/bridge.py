"""The bridge of a source's day: from our balance to the bank's, with the verdict.

    our balance - outstanding entries + lines of the bank alone
        + its first opening balance + accepted differences = the bank's balance

An entry is outstanding on a day if no line of that day or earlier is matched with it: it is
pending within its days of grace, missing after them, or in transit if a later line matched it.
Accepted differences, between balances and lines of files that an operator accepted, are a line of
their own. The residual is the unexplained rest: exactly 0 unless a row was tampered with.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from payments_core.db.tables import one_of
from payments_core.domain.matching import SET_ASIDE_STATUSES, Verdict
from payments_core.domain.money import currency_text
from payments_core.matching.entries import open_line
from payments_core.matching.levels import CHAIN, LEVEL, lines_ahead
from payments_core.matching.matches import LINE_DAY

# Only the levels beside an accepted file, the first and the last one are computed. The first day
# opens with its level, unless an operator accepted a file of it: its first page may be missing.
STATEMENTS = f"""
{CHAIN}, needed AS (
    SELECT *, previous_on IS NULL AS is_first,
           to_on <= $2 AND coalesce(next_on > $2, true) AS is_last,
           lead(is_vouched_for, 1, false) OVER (ORDER BY to_on) AS is_before
    FROM chain
), levels AS (
    SELECT to_on, is_first, is_last, is_vouched_for, {LEVEL} AS level FROM needed AS chain
    WHERE is_first OR is_last OR is_vouched_for OR is_before
), opening AS (
    SELECT coalesce((SELECT level FROM levels WHERE is_first AND NOT is_vouched_for),
                    (SELECT level FROM base), (SELECT level FROM levels WHERE is_first), 0) AS level
), steps AS (
    SELECT *, level - lag(level, 1, (SELECT level FROM opening)) OVER (ORDER BY to_on) AS step
    FROM levels
)
SELECT opening.level AS opening,
       coalesce((SELECT sum(step) FROM steps WHERE is_vouched_for AND to_on <= $2), 0) AS accepted,
       coalesce((SELECT level FROM levels WHERE is_last), opening.level) + coalesce(
           (SELECT lines FROM days WHERE to_on <= $2 ORDER BY to_on DESC LIMIT 1), 0
       ) + {lines_ahead("$2")} AS closing,
       (SELECT max(to_on) FROM days) AS last_on,
       (SELECT bool_or(from_on <= $2 AND to_on >= $2) OR (min(from_on) < $2 AND max(to_on) > $2)
        FROM days) AS is_covered
FROM opening"""

_SET_ASIDE = one_of("line.status", SET_ASIDE_STATUSES)
_OF_DAY = f"""
    FROM statement_lines AS line JOIN statements AS statement ON statement.id = line.statement_id
    WHERE line.source_id = $1 AND statement.kind = 'statement' AND {LINE_DAY} <= $2 AND"""
# $3: the day as of which pending and missing are told apart.
POSITIONS = f"""
SELECT
    (SELECT coalesce(sum(amount), 0) FROM recon_days
     WHERE source_id = $1 AND booked_on <= $2) AS books,
    pending.amount AS pending, pending.items AS pending_items,
    missing.amount AS missing, missing.items AS missing_items,
    transit.entries AS in_transit, transit.entry_items AS transit_items,
    transit.lines AS ahead, transit.line_items AS ahead_items,
    alone.amount AS unmatched, alone.items AS unmatched_items, alone.late AS late_lines,
    aside.explained, aside.ignored, aside.items AS aside_items,
    (SELECT (cut.updated_at AT TIME ZONE source.time_zone)::date FROM recon_cuts AS cut
     JOIN recon_sources AS source ON source.id = cut.source_id
     WHERE cut.source_id = $1) AS cut_on
FROM
    (SELECT coalesce(sum(amount), 0) AS amount, count(*) AS items FROM open_entries
     WHERE source_id = $1 AND booked_on <= $2 AND break_on >= $3) AS pending,
    (SELECT coalesce(sum(amount), 0) AS amount, count(*) AS items FROM open_entries
     WHERE source_id = $1 AND booked_on <= $2 AND break_on < $3) AS missing,
    (SELECT coalesce(sum(leg.amount) FILTER (WHERE leg.side = 'entry'), 0) AS entries,
            count(*) FILTER (WHERE leg.side = 'entry') AS entry_items,
            coalesce(sum(leg.amount) FILTER (WHERE leg.side = 'line'), 0) AS lines,
            count(*) FILTER (WHERE leg.side = 'line') AS line_items
     FROM recon_matches AS match JOIN match_legs AS leg ON leg.match_id = match.id
     WHERE match.source_id = $1 AND match.undone_at IS NULL AND match.last_on > $2
       AND match.first_on <= $2 AND leg.booked_on <= $2) AS transit,
    (SELECT coalesce(sum(line.amount), 0) AS amount, count(*) AS items,
            count(*) FILTER (WHERE {LINE_DAY} + (
                SELECT grace_days FROM recon_sources WHERE id = $1) < $3) AS late
     {_OF_DAY} {open_line("line")}) AS alone,
    (SELECT coalesce(sum(line.amount) FILTER (WHERE line.status = 'explained'), 0) AS explained,
            coalesce(sum(line.amount) FILTER (WHERE line.status = 'ignored'), 0) AS ignored,
            count(*) AS items
     {_OF_DAY} {_SET_ASIDE} AND line.booking = 'booked') AS aside"""


@dataclass(frozen=True, slots=True)
class Bridge:
    """A source's day: amounts from our balance to the bank's, the residual and the verdict."""

    on: date
    as_of: date
    verdict: Verdict
    residual: Decimal
    opening: Decimal
    books: Decimal
    pending: Decimal
    missing: Decimal
    in_transit: Decimal
    unmatched: Decimal
    explained: Decimal
    ignored: Decimal
    ahead: Decimal
    accepted: Decimal
    closing: Decimal
    counts: dict[str, int]
    incomplete_because: str | None

    def as_json(self, currency: str) -> dict[str, Any]:
        """Return the bridge as the API and the command show it; the currency is its source's."""
        return {
            "on": self.on.isoformat(),
            "asOf": self.as_of.isoformat(),
            "verdict": self.verdict,
            "incompleteBecause": self.incomplete_because,
            "bridge": {
                "openingOfBank": currency_text(self.opening, currency),
                "ourBalance": currency_text(self.books, currency),
                "pending": currency_text(-self.pending, currency),
                "missingInBank": currency_text(-self.missing, currency),
                "inTransit": currency_text(-self.in_transit, currency),
                "unmatchedLines": currency_text(self.unmatched, currency),
                "explainedLines": currency_text(self.explained, currency),
                "ignoredLines": currency_text(self.ignored, currency),
                "linesAheadOfUs": currency_text(self.ahead, currency),
                "acceptedDifferences": currency_text(self.accepted, currency),
                "closingOfBank": currency_text(self.closing, currency),
                "residual": currency_text(self.residual, currency),
            },
            "counts": self.counts,
        }


async def read_bridge(tx: AsyncConnection, source_id: int, on: date, as_of: date) -> Bridge:
    """Return the bridge of the day; `as_of` is the day that tells pending from missing."""
    chain = (await tx.exec_driver_sql(STATEMENTS, (source_id, on))).one()
    at = (await tx.exec_driver_sql(POSITIONS, (source_id, on, as_of))).one()
    outstanding = at.pending + at.missing + at.in_transit
    alone = at.unmatched + at.explained + at.ignored + at.ahead
    residual = chain.closing - (chain.opening + at.books - outstanding + alone + chain.accepted)
    because = _incomplete_because(chain, at, on)
    return Bridge(
        on=on,
        as_of=as_of,
        verdict=_verdict(because, residual, at),
        residual=residual,
        opening=chain.opening,
        books=at.books,
        pending=at.pending,
        missing=at.missing,
        in_transit=at.in_transit,
        unmatched=at.unmatched,
        explained=at.explained,
        ignored=at.ignored,
        ahead=at.ahead,
        accepted=chain.accepted,
        closing=chain.closing,
        counts={
            "pending": at.pending_items,
            "missing": at.missing_items,
            "inTransit": at.transit_items,
            "unmatchedLines": at.unmatched_items,
            "lateLines": at.late_lines,
            "setAside": at.aside_items,
        },
        incomplete_because=because,
    )


def _incomplete_because(chain: AnyRow, at: AnyRow, on: date) -> str | None:
    if chain.last_on is None:
        return "no statement has been imported"
    if not chain.is_covered:
        return f"no statement covers {on}; the last ends on {chain.last_on}"
    if at.cut_on is None or at.cut_on <= on:
        return f"no run has seen all entries of {on}"
    return None


def _verdict(because: str | None, residual: Decimal, at: AnyRow) -> Verdict:
    if because is not None:
        return "incomplete"
    if residual or at.missing_items or at.late_lines:
        return "breaks"
    if at.pending_items or at.transit_items or at.ahead_items or at.unmatched_items:
        return "reconciled_with_pending"
    return "reconciled"


LAST_COVERED = """
SELECT max(to_on) FROM statements
WHERE source_id = $1 AND kind = 'statement' AND to_on <= $2"""


async def last_covered_day(tx: AsyncConnection, source_id: int, as_of: date) -> date | None:
    """Return the last day up to `as_of` with which a statement ends."""
    last: date | None = (await tx.exec_driver_sql(LAST_COVERED, (source_id, as_of))).scalar()
    return last
