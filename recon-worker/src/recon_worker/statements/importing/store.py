"""From staged rows to statements and lines, each in a few statements of SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from payments_core.matching.levels import IN_CHAIN, PLACE, first_step
from payments_core.statements.fingerprint import fingerprint_of
from recon_worker.statements.importing.checks import Quarantined, ReadStatement
from recon_worker.statements.importing.overlap import Facts, Judgement, judge

AHEAD_MAX = timedelta(days=31)  # A bank may date ahead by days; a mistyped year is ahead by more.

# The statement's staged lines with their true signs.
_SIGN = "CASE WHEN reversal AND CAST(:flipped AS boolean) THEN -1 ELSE 1 END"
_FINGERPRINT = fingerprint_of(
    "CAST(:kind AS text)", f"amount * {_SIGN}", f"original_amount * {_SIGN}"
)
_SIGNED = f"""
    SELECT row_no, line_no, part_no, amount * {_SIGN} AS true_amount, currency, booked_on,
           valued_on, end_to_end, bank_ref, batch_ref, code, reversal, return_reason,
           counterparty, remittance, charges, original_amount * {_SIGN} AS true_original,
           original_currency, booking,
           {_FINGERPRINT} AS fingerprint
    FROM statement_staging WHERE file_id = :file_id AND number = :number"""
# nth counts equal lines, times says how often the source has such a line: a look-up in the unique
# index for each, however long the history.
WITH_STAGED = f"""
WITH staged AS (
    SELECT signed.*, row_number() OVER (PARTITION BY fingerprint ORDER BY row_no) AS nth,
           (SELECT max(known.occurrence) FROM statement_lines AS known
            WHERE known.source_id = :source_id AND known.fingerprint = signed.fingerprint) AS times
    FROM ({_SIGNED}) AS signed
)"""
# On a usual day the lines are unique: no two are equal, and none is known. Then they need neither
# the look-ups nor sorting.
_WITH_UNIQUE = f"""
WITH staged AS (SELECT signed.*, 1 AS nth, CAST(NULL AS integer) AS times
                FROM ({_SIGNED}) AS signed)"""

COUNT_STAGED = text(f"""
{WITH_STAGED}
SELECT (now() AT TIME ZONE 'UTC')::date AS today,
       count(*) AS line_count, min(booked_on) AS from_on, max(booked_on) AS to_on,
       coalesce(sum(true_amount) FILTER (WHERE booking = 'booked'), 0) AS net,
       count(*) FILTER (WHERE nth <= times) AS known_count,
       coalesce(sum(true_amount) FILTER (WHERE booking = 'booked' AND nth <= times), 0)
           AS known_net,
       coalesce(bool_and(bank_ref IS NOT NULL) FILTER (WHERE nth <= times), false)
           AS known_are_referenced,
       bool_and(nth = 1 AND times IS NULL) AS are_unique
FROM staged""")

_CHAINED = "source_id = :source_id AND kind = 'statement' AND closing IS NOT NULL"
_LAST = text(f"""
SELECT id, from_on, to_on, opening, closing FROM statements AS statement
WHERE source_id = :source_id AND {IN_CHAIN} AND to_on <= :to_on
ORDER BY to_on DESC, {PLACE} DESC LIMIT 1""")
_FOLLOWING = text(f"""
SELECT id, from_on, to_on, opening, closing FROM statements
WHERE {_CHAINED} AND to_on > :to_on ORDER BY from_on, id LIMIT 1""")
_OVERLAPPING = text(f"""
SELECT from_on, to_on, opening, closing, bank_id, sequence, {IN_CHAIN} AS is_in_chain
FROM statements
WHERE {_CHAINED} AND from_on <= :from_on AND to_on >= :to_on""")

_ADD = text("""
INSERT INTO statements (source_id, file_id, number, kind, bank_id, sequence, from_on, to_on,
    opening, closing, net, entry_count, line_count, known_count, known_net, previous_id,
    accepted_by)
VALUES (:source_id, :file_id, :number, :kind, :bank_id, :sequence, :from_on, :to_on, :opening,
    :closing, :net, :entry_count, :line_count, :known_count, :known_net, :previous_id,
    :accepted_by)
RETURNING id""")
_ADD_LINES = """
INSERT INTO statement_lines (statement_id, source_id, line_no, part_no, amount, currency, booked_on,
    valued_on, end_to_end, bank_ref, batch_ref, code, reversal, return_reason, counterparty,
    remittance, charges, original_amount, original_currency, booking, fingerprint, occurrence,
    status, status_reason)
SELECT CAST(:statement_id AS bigint), CAST(:source_id AS bigint), line_no, part_no, true_amount,
    currency, booked_on, valued_on, end_to_end, bank_ref, batch_ref, code, reversal,
    return_reason, counterparty, remittance, charges, true_original, original_currency, booking,
    fingerprint, nth + CASE WHEN CAST(:all_new AS boolean) THEN coalesce(times, 0) ELSE 0 END,
    CASE WHEN CAST(:kind AS text) = 'statement' AND booking = 'booked'
         THEN 'unmatched' ELSE 'ignored' END,
    CASE WHEN CAST(:kind AS text) <> 'statement' THEN 'a statement is still to confirm it'
         WHEN booking <> 'booked' THEN 'the bank has not booked it' END
FROM staged
WHERE CAST(:all_new AS boolean) OR nth > coalesce(times, 0)
ORDER BY row_no"""
_ADD_ANY_LINES = text(f"{WITH_STAGED}{_ADD_LINES}")
_ADD_UNIQUE_LINES = text(f"{_WITH_UNIQUE}{_ADD_LINES}")


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored statement: its days, its place in the file, and why it may not fit the chain."""

    kind: str
    from_on: date
    to_on: date
    position: str
    doubt: Quarantined | None


async def store_statement(tx: AsyncConnection, file: AnyRow, statement: ReadStatement) -> Stored:
    """Store one statement of the file with its new lines. Raises Quarantined."""
    header, end = statement.header, statement.end
    values: dict[str, Any] = {
        "file_id": file.id,
        "source_id": file.source_id,
        "number": header.number,
        "kind": header.kind,
        "flipped": end.reversals_flipped,
    }
    counted = (await tx.execute(COUNT_STAGED, values)).mappings().one()
    if counted["net"] != end.net:
        problem = f"the lines sum to {counted['net']}, but the reader counted {end.net}"
        raise Quarantined("malformed", problem, end.position)
    from_on, to_on = end.from_on or counted["from_on"], end.to_on or counted["to_on"]
    if from_on is None or to_on is None or from_on > to_on:
        problem = f"the statement covers no day: from {from_on} to {to_on}"
        raise Quarantined("date", problem, header.position)
    if to_on > counted["today"] + AHEAD_MAX:
        problem = f"the statement ends on {to_on}: more than a month ahead"
        raise Quarantined("date", problem, header.position)
    days = {"from_on": from_on, "to_on": to_on}
    judgement = await _judge(tx, file, statement, {**values, **days}, counted)
    all_new = judgement.rule == "continue"
    row = {
        **values,
        **days,
        "bank_id": header.bank_id,
        "sequence": header.sequence,
        "opening": end.opening,
        "closing": end.closing,
        "net": counted["net"],
        "entry_count": end.entry_count,
        "line_count": counted["line_count"],
        "known_count": 0 if all_new else counted["known_count"],
        "known_net": 0 if all_new else counted["known_net"],
        "previous_id": judgement.previous_id,
        "accepted_by": file.accepted_by,
    }
    statement_id = (await tx.execute(_ADD, row)).scalar_one()
    add_lines = _ADD_UNIQUE_LINES if counted["are_unique"] else _ADD_ANY_LINES
    await tx.execute(add_lines, {**values, "statement_id": statement_id, "all_new": all_new})
    return Stored(header.kind, from_on, to_on, header.position, judgement.doubt)


async def check_balances(tx: AsyncConnection, source_id: int, stored: Sequence[Stored]) -> None:
    """Raise Quarantined if, with these statements, a balance does not follow from the lines.

    Called once for a file, because it reads the source's whole chain.
    """
    from_on, to_on = min(each.from_on for each in stored), max(each.to_on for each in stored)
    step = await first_step(tx, source_id, from_on, to_on)
    if step is None:
        return
    cause = next((each for each in stored if each.to_on >= step.to_on), stored[-1])
    raise cause.doubt or Quarantined(
        "chain",
        f"with the lines of this statement the balance of {step.to_on} is {step.expected}, but the"
        f" statement of that day closes with {step.closing}",
        cause.position,
    )


async def _judge(
    tx: AsyncConnection,
    file: AnyRow,
    statement: ReadStatement,
    at: dict[str, Any],
    counted: RowMapping,
) -> Judgement:
    header, end = statement.header, statement.end
    if header.kind != "statement" or end.opening is None or end.closing is None:
        return Judgement("count", None)  # No balances to decide by.
    overlapping = (await tx.execute(_OVERLAPPING, at)).all()
    same = [
        each
        for each in overlapping
        if (each.from_on, each.to_on, each.opening, each.closing)
        == (at["from_on"], at["to_on"], end.opening, end.closing)
    ]
    facts = Facts(
        position=header.position,
        from_on=at["from_on"],
        to_on=at["to_on"],
        opening=end.opening,
        closing=end.closing,
        net=counted["net"],
        line_count=counted["line_count"],
        known_count=counted["known_count"],
        known_net=counted["known_net"],
        known_are_referenced=counted["known_are_referenced"],
        last=(await tx.execute(_LAST, at)).one_or_none(),
        following=(await tx.execute(_FOLLOWING, at)).one_or_none(),
        repeated=bool(same),
        covered=any(
            (each.from_on, each.to_on) != (at["from_on"], at["to_on"]) for each in overlapping
        ),
        precedes=any(
            each.is_in_chain and (each.to_on, each.opening) == (at["to_on"], end.closing)
            for each in overlapping
        ),
        same_id=any(_is_same(each, header.bank_id, header.sequence) for each in same),
        has_id=header.bank_id is not None or header.sequence is not None,
    )
    return judge(facts, vouched=file.accepted_by is not None)


def _is_same(known: AnyRow, bank_id: str | None, sequence: str | None) -> bool:
    # The pages of a day may share their id: some banks give all statements one.
    if sequence is not None and known.sequence is not None:
        return bool(known.sequence == sequence)
    return bank_id is not None and known.bank_id == bank_id
