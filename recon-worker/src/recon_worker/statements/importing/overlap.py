"""Which lines of a statement are new, and how it continues the chain of balances.

Two explanations are possible for lines that are known already: the bank sent them again, or they
are other payments that look the same. The balances decide. A statement that opens with the closing
balance of the last one continues it: all its lines are new. Otherwise lines are recognised by
counting: of a line that is known n times, the first n are known. If counting does not lead to the
closing balance, but a page of the same day opens with it, the statement is the page before: all its
lines are new. If both explanations are possible, the bank's references decide, which no two lines
share, then its id or number of the statement; without either the file is quarantined. So it is if,
with the lines that are new, the balances of the chain do not follow from the lines.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from payments_core.db.engine import AnyRow
from recon_worker.statements.importing.checks import Quarantined

Rule = Literal["continue", "count"]


@dataclass(frozen=True, slots=True)
class Facts:
    """A received statement, and its lines that the source already has.

    `known_*` count the lines that are known by counting; `last` is the newest statement that ends
    with this one or earlier, `following` the oldest one that ends later.
    """

    position: str
    from_on: date
    to_on: date
    opening: Decimal
    closing: Decimal
    net: Decimal
    line_count: int
    known_count: int
    known_net: Decimal
    known_are_referenced: bool  # Each known line has the bank's reference.
    last: AnyRow | None
    following: AnyRow | None
    repeated: bool  # A statement of the same days and balances is known.
    covered: bool  # A statement of more days holds all days of this one.
    precedes: bool  # A statement that ends on the same day opens with this closing balance.
    same_id: bool  # The repeated one has the same id or number of the bank.
    has_id: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """How to number the lines, and the statement before, whose closing balance leads to this."""

    rule: Rule
    previous_id: int | None
    doubt: Quarantined | None = None  # Raised unless the balances follow from the lines.


def judge(facts: Facts, *, vouched: bool) -> Judgement:
    """Return how the statement continues the chain. Raises Quarantined if that is ambiguous."""
    last, at = facts.last, facts.position
    continues = (
        last is not None
        and last.closing == facts.opening
        and (facts.known_count == 0 or (last.to_on <= facts.from_on and not facts.covered))
    )
    repeats = facts.known_count > 0 and _is_explained_by_counting(facts)
    previous_id = None if last is None else last.id
    if continues and repeats:
        if facts.repeated and facts.same_id:
            continues = False
        elif vouched:
            repeats = False
        elif facts.known_are_referenced:
            if facts.known_net != 0:  # Then the balances contradict the bank's references.
                raise Quarantined("overlap", _ambiguous(facts), at)
            continues = False
        elif facts.has_id:
            repeats = False
        else:
            raise Quarantined("overlap", _ambiguous(facts), at)
    if continues:
        return Judgement("continue", previous_id)
    if repeats:
        reaches = last is not None and _reached(facts, last) == facts.closing
        return Judgement("count", previous_id if reaches else None)
    if facts.precedes:
        if facts.known_count == facts.line_count > 0 and not vouched:
            raise Quarantined("overlap", _ambiguous(facts), at)
        return Judgement("continue", None, _broken(facts))
    if vouched or (last is None and facts.following is None):
        return Judgement("count", previous_id)
    return Judgement("count", None, _broken(facts))


def _reached(facts: Facts, last: AnyRow) -> Decimal:
    """Return the last closing balance with the lines that are new by counting."""
    reached: Decimal = last.closing + facts.net - facts.known_net
    return reached


def _is_explained_by_counting(facts: Facts) -> bool:
    if facts.last is not None and _reached(facts, facts.last) == facts.closing:
        return True
    return facts.known_count == facts.line_count and (
        facts.known_are_referenced or facts.repeated or facts.covered
    )


def _ambiguous(facts: Facts) -> str:
    return (
        f"by the balances, the statement may repeat the {facts.known_count} known lines or hold new"
        " ones: accept the file if they are new, reject it if they are not"
    )


def _broken(facts: Facts) -> Quarantined:
    last = facts.last
    if last is None:
        following = facts.following
        assert following is not None, "a first statement breaks no chain"
        if facts.known_count:
            return Quarantined(
                "overlap",
                f"{facts.known_count} of {facts.line_count} lines are known; the others do not lead"
                f" from {facts.opening} to the statement from {following.from_on}, which opens with"
                f" {following.opening}",
                facts.position,
            )
        return Quarantined(
            "chain",
            f"the statement closes with {facts.closing}, but the next one, from"
            f" {following.from_on}, opens with {following.opening}: import the statements between",
            facts.position,
        )
    if facts.known_count:
        return Quarantined(
            "overlap",
            f"{facts.known_count} of {facts.line_count} lines are known; with the others the"
            f" balance would be {_reached(facts, last)}, but the statement closes with"
            f" {facts.closing}",
            facts.position,
        )
    return Quarantined(
        "chain",
        f"the statement opens with {facts.opening}, but the last one, to {last.to_on}, closed with"
        f" {last.closing}: import the statements between",
        facts.position,
    )
