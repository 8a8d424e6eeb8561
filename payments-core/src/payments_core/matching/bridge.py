"""The bridge of a source's day: from our balance to the bank's, with the verdict.

    our balance - outstanding entries + lines of the bank alone
        + its first opening balance + accepted differences = the bank's balance

An entry is outstanding on a day if no line of that day or earlier is matched with it: it is
pending within its days of grace, missing after them, or in transit if a later line matched it.
What an operator accepted though balances and lines disagree is a line of its own. The residual is
the unexplained rest: exactly 0 unless a row was tampered with.
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
from payments_core.matching.matches import LINE_DAY

# Booked lines of $1 up to a day that are stored with statements which end after it. The statements
# come first, since they are few and usually none: LATERAL keeps Postgres from reading all lines.
_AHEAD = f"""
    coalesce((SELECT sum(ahead.amount) FROM statements AS statement
              CROSS JOIN LATERAL (
                  SELECT sum(line.amount) AS amount FROM statement_lines AS line
                  WHERE line.statement_id = statement.id AND line.booking = 'booked'
                    AND {LINE_DAY} <= {{up_to}}
              ) AS ahead
              WHERE statement.source_id = $1 AND statement.kind = 'statement'
                AND statement.from_on <= {{up_to}} AND statement.to_on > {{ended}}), 0)"""

# The level of a day is its closing balance without all lines up to it: one number along the whole
# chain, the first opening balance. Where it steps, balances and lines disagree: an operator
# accepted a file of this day or of the one before, or a row was tampered with. Only levels beside
# an accepted file, the first and the last are computed. Days without balances have none. Reports
# and notifications are not final: they are no part.
STATEMENTS = f"""
WITH days AS (
    SELECT to_on, min(from_on) AS from_on, bool_or(accepted_by IS NOT NULL) AS is_accepted,
           sum(sum(net - known_net)) OVER (ORDER BY to_on) AS lines, sum(net - known_net) AS net,
           (array_agg(opening ORDER BY from_on, id))[1] AS opening,
           (array_agg(closing ORDER BY id DESC))[1] AS closing
    FROM statements WHERE source_id = $1 AND kind = 'statement' GROUP BY to_on
), chain AS (
    SELECT *, is_accepted OR lag(is_accepted, 1, false) OVER in_order AS is_vouched_for,
           row_number() OVER in_order = 1 AS is_first,
           to_on <= $2 AND lead(to_on, 1, 'infinity') OVER in_order > $2 AS is_last
    FROM days WHERE closing IS NOT NULL WINDOW in_order AS (ORDER BY to_on)
), needed AS (
    SELECT *, lead(is_vouched_for, 1, false) OVER (ORDER BY to_on) AS is_before FROM chain
), levels AS (
    SELECT to_on, is_first, is_last, is_vouched_for,
           closing - lines - {_AHEAD.format(up_to="needed.to_on", ended="needed.to_on")} AS level,
           CASE WHEN is_first THEN opening - (lines - net)
               - {_AHEAD.format(up_to="needed.from_on - 1", ended="needed.to_on")} END AS opening
    FROM needed WHERE is_first OR is_last OR is_vouched_for OR is_before
), steps AS (
    SELECT *, level - lag(level, 1, opening) OVER (ORDER BY to_on) AS step FROM levels
)
SELECT coalesce(sum(opening), 0) AS opening,
       coalesce(sum(step) FILTER (WHERE is_vouched_for AND to_on <= $2), 0) AS accepted,
       coalesce(sum(level) FILTER (WHERE is_last), sum(opening), 0) + coalesce(
           (SELECT lines FROM days WHERE to_on <= $2 ORDER BY to_on DESC LIMIT 1), 0
       ) + {_AHEAD.format(up_to="$2", ended="$2")} AS closing,
       (SELECT max(to_on) FROM days) AS last_on,
       (SELECT bool_or(from_on <= $2 AND to_on >= $2) OR (min(from_on) < $2 AND max(to_on) > $2)
        FROM days) AS is_covered
FROM steps"""

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
    transit.entries AS in_transit, transit.lines AS ahead, transit.items AS transit_items,
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
            coalesce(sum(leg.amount) FILTER (WHERE leg.side = 'line'), 0) AS lines,
            count(DISTINCT leg.match_id) AS items
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
    if at.pending_items or at.transit_items or at.unmatched_items:
        return "reconciled_with_pending"
    return "reconciled"


LAST_COVERED = """
SELECT max(to_on) FROM statements
WHERE source_id = $1 AND kind = 'statement' AND to_on <= $2"""


async def last_covered_day(tx: AsyncConnection, source_id: int, as_of: date) -> date | None:
    """Return the last day up to `as_of` with which a statement ends."""
    last: date | None = (await tx.exec_driver_sql(LAST_COVERED, (source_id, as_of))).scalar()
    return last
