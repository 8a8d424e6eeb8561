"""The bridge of a day leaves nothing over, and its verdict is what is open says."""

import random
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import transaction
from payments_core.matching.lines import set_aside
from payments_core.matching.matches import MatchRefused, match_by_hand, undo_match
from recon_worker.audit.matching import MATCHING_INVARIANTS
from testkit.database.ledgers.settled import findings_of
from testkit.database.matching_books import DAY, Entry, Line, add_entries, add_source, add_statement
from testkit.database.sql import Sql

from .conftest import Match, bridge_of

ANN = Operator("ann")
GRACE_DAYS = 2
ROUNDS = 12
DAYS = 6


def _day(number: int) -> date:
    return DAY + timedelta(days=number)


# Entries, lines, and how many days later it is → the verdict of the day.
VERDICTS: dict[str, tuple[list[Entry], list[Line], int, str]] = {
    "all is matched": ([Entry("10", "A")], [Line("10", "A")], 9, "reconciled"),
    "an empty statement and no entry": ([], [], 9, "reconciled"),
    "an entry within its grace": ([Entry("10", "A")], [], 2, "reconciled_with_pending"),
    "an entry past its grace": ([Entry("10", "A")], [], 3, "breaks"),
    "a line within its grace": ([], [Line("10", "A")], 2, "reconciled_with_pending"),
    "a line past its grace": ([], [Line("10", "A")], 3, "breaks"),
    "amounts that cancel out": ([Entry("10", "A")], [Line("10", "B")], 3, "breaks"),
    "an entry of the next day": (
        [Entry("10", "A", _day(1))],
        [Line("10", "A")],
        9,
        "reconciled_with_pending",
    ),
    "a pending line, which a later statement repeats": (
        [],
        [Line("10", "A", booking="pending")],
        9,
        "reconciled",
    ),
}


@pytest.mark.parametrize("case", VERDICTS)
async def test_the_verdict_of_a_day_follows_from_what_is_open(
    sql: Sql, engine: AsyncEngine, match: Match, case: str
) -> None:
    entries, lines, days, verdict = VERDICTS[case]
    source = await add_source(sql, grace_days=GRACE_DAYS)
    await add_entries(sql, entries)
    await add_statement(sql, source, lines, opening="100")
    await match(as_of=_day(days))
    found = await bridge_of(engine, source, DAY, _day(days))
    assert (found.verdict, found.incomplete_because) == (verdict, None)
    assert found.residual == 0


async def test_a_line_that_we_booked_on_a_later_day_is_in_transit_until_then(
    sql: Sql, engine: AsyncEngine, match: Match
) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "A"), Entry("7", "B", _day(1))])
    await add_statement(sql, source, [Line("7", "B")], opening="0")
    await add_statement(
        sql, source, [Line("10", "A", _day(1))], from_on=_day(1), to_on=_day(1), opening="7"
    )
    await match()
    first, second = [await bridge_of(engine, source, _day(n), _day(9)) for n in (0, 1)]
    assert [first.verdict, second.verdict] == ["reconciled_with_pending", "reconciled"]
    assert [first.in_transit, first.ahead, second.in_transit, second.ahead] == [10, 7, 0, 0]
    assert [first.counts["inTransit"], second.counts["inTransit"]] == [1, 0]
    assert [first.residual, second.residual] == [0, 0]


async def test_a_day_is_incomplete_without_its_statement_or_run(
    sql: Sql, engine: AsyncEngine, match: Match
) -> None:
    source = await add_source(sql)

    async def why(on: date = DAY) -> str | None:
        found = await bridge_of(engine, source, on, _day(9))
        assert (found.verdict == "incomplete") == (found.incomplete_because is not None)
        return found.incomplete_because

    assert await why() == "no statement has been imported"
    await add_statement(sql, source, [])
    assert await why() == f"no run has seen all entries of {DAY}"
    await match()
    assert await why() is None
    assert await why(_day(1)) == f"no statement covers {_day(1)}; the last ends on {DAY}"
    # A weekend between two statements of a chain is covered by both.
    await add_statement(sql, source, [], from_on=_day(3), to_on=_day(3))
    assert await why(_day(2)) is None


class _Books:
    """Random books of one source, and what they say of a day: from docs/matching.md alone."""

    def __init__(self, sql: Sql, engine: AsyncEngine, chance: random.Random, name: str) -> None:
        self.sql, self.engine, self.chance, self.name = sql, engine, chance, name
        self.entries: dict[int, Entry] = {}
        self.lines: dict[int, Line] = {}
        self.opening = Decimal(chance.randint(-50, 500))

    def _amount(self) -> Decimal:
        return Decimal(self.chance.choice((-3, -1, 1, 2, 3))) * Decimal("0.25")

    async def fill(self) -> None:
        """Add statements of one or two days without a gap, and entries of all days."""
        chance = self.chance
        self.source = await add_source(
            self.sql, self.name, channel=self.name, grace_days=GRACE_DAYS
        )
        entries = [Entry(self._amount(), f"R-{n}", _day(chance.randrange(DAYS))) for n in range(20)]
        ids = await add_entries(self.sql, entries, channel=self.name)
        self.entries = dict(zip(ids, entries, strict=True))
        waiting, first, balance = list(entries), 0, self.opening
        while first < DAYS:
            last = min(DAYS - 1, first + chance.choice((0, 0, 1)))
            lines = [self._line(waiting, first, last) for _ in range(chance.randrange(7))]
            ids = await add_statement(
                self.sql,
                self.source,
                lines,
                from_on=_day(first),
                to_on=_day(last),
                opening=balance,
            )
            self.lines |= dict(zip(ids, lines, strict=True))
            balance += sum(Decimal(each.amount) for each in lines if each.booking == "booked")
            first = last + 1

    def _line(self, waiting: list[Entry], first: int, last: int) -> Line:
        on = _day(self.chance.randint(first, last))
        booking = "pending" if self.chance.random() < 0.1 else "booked"
        if waiting and self.chance.random() < 0.7:
            entry = waiting.pop(self.chance.randrange(len(waiting)))
            return Line(entry.amount, entry.reference, on, booking=booking)
        return Line(self._amount(), "unknown", on, booking=booking)

    async def act(self) -> None:
        """Set lines aside, match by hand and undo, at random."""
        for line in self.lines:
            if self.chance.random() < 0.3:
                try:
                    async with transaction(self.engine) as tx:
                        act = self.chance.choice(("explain", "ignore"))
                        await set_aside(tx, self.source, line, act, ANN, "a test")  # type: ignore[arg-type]
                except MatchRefused:
                    pass
        for line in self.lines:
            for entry in self.entries:
                if self.lines[line].amount == self.entries[entry].amount:
                    try:
                        async with transaction(self.engine) as tx:
                            await match_by_hand(tx, self.source, [line], [entry], ANN, "a test")
                    except MatchRefused:
                        continue
                    break
            if self.chance.random() < 0.5:
                break
        query = "SELECT id FROM recon_matches WHERE source_id = $1 AND undone_at IS NULL"
        for row in await self.sql.fetch(query, self.source):
            if self.chance.random() < 0.2:
                async with transaction(self.engine) as tx:
                    await undo_match(tx, self.source, row["id"], ANN, "a test")

    async def verdict(self, on: date, as_of: date) -> str:
        """Return the verdict of a day that a statement covers."""
        query = "SELECT match_id, side, item_id FROM match_legs WHERE active"
        days: dict[int, list[date]] = {}
        matched: dict[str, set[int]] = {"line": set(), "entry": set()}
        for match_id, side, item in await self.sql.fetch(query):
            of_side = self.lines if side == "line" else self.entries
            if item in of_side:
                matched[side].add(item)
                days.setdefault(match_id, []).append(of_side[item].day)
        aside = {
            row["id"]
            for row in await self.sql.fetch(
                "SELECT id FROM statement_lines WHERE status IN ('explained', 'ignored')"
            )
        }
        open_days = [e.day for n, e in self.entries.items() if n not in matched["entry"]]
        open_days += [
            line.day
            for number, line in self.lines.items()
            if line.booking == "booked" and number not in matched["line"] | aside
        ]
        open_days = [day for day in open_days if day <= on]
        if any(day + timedelta(days=GRACE_DAYS) < as_of for day in open_days):
            return "breaks"
        transit = any(min(each) <= on < max(each) for each in days.values())
        return "reconciled_with_pending" if open_days or transit else "reconciled"


async def test_any_books_leave_no_residual_and_have_the_verdict_of_a_model(
    sql: Sql, engine: AsyncEngine, match: Match
) -> None:
    chance = random.Random(21)
    seen: Counter[str] = Counter()
    for number in range(ROUNDS):
        books = _Books(sql, engine, chance, f"bank-{number}")
        await books.fill()
        await match(books.name, as_of=_day(chance.randrange(DAYS + 3)))
        await books.act()
        for on in range(DAYS):
            as_of = _day(chance.randrange(on, on + 5))
            found = await bridge_of(engine, books.source, _day(on), as_of)
            assert found.residual == 0, (number, on, found)
            assert found.verdict == await books.verdict(_day(on), as_of), (number, on, found)
            seen[found.verdict] += 1
    assert min(seen["breaks"], seen["reconciled_with_pending"]) > 5, seen
    findings = await findings_of(engine, "full")
    assert {each.name: findings[each.name].offenders for each in MATCHING_INVARIANTS} == {
        each.name: [] for each in MATCHING_INVARIANTS
    }
