"""The bridge along random chains of statements, true and false ones."""

import random
from itertools import accumulate, chain

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from recon_worker.statements.importing.load import import_next
from testkit.camt_files import Day, Entry, camt053
from testkit.command_line import CommandLine
from testkit.database.sql import Sql

from ..conftest import Run
from .conftest import Match
from .days import AS_OF, accept_all, assert_statements_hold, bridge, on


class _Account:
    """Nine days of an account at a bank, and the statements that the bank makes of them.

    No balance occurs twice: a gap that sums to zero is none.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        amounts = [*range(-900, 0), *range(1, 900)]
        reached = [0, 0]
        while len({*reached}) < len(reached):
            self.lines = {day: chance.sample(amounts, chance.randrange(4)) for day in range(1, 10)}
            reached = [*accumulate(chain.from_iterable(self.lines.values()), initial=0)]
        self.balances = {0: 10_000}
        for day, of_day in self.lines.items():
            self.balances[day] = self.balances[day - 1] + sum(of_day)

    def statement(self, first: int, last: int, bank_id: str, wrong: float = 0) -> Day:
        """Return the statement of some days; a wrong one may not close, or lack a line."""
        entries = [
            Entry(f"{amount}.00", on(day), f"E-{day}")
            for day in range(first, last + 1)
            for amount in self.lines[day]
        ]
        closing = self.balances[last] + (5 if self.chance.random() < wrong else 0)
        if entries and self.chance.random() < wrong:
            entries.pop(self.chance.randrange(len(entries)))
        opening = f"{self.balances[first - 1]}.00"
        return Day(entries, opening, f"{closing}.00", on(first), on(last), bank_id)

    def pages(self, day: int) -> list[Day]:
        """Return the statement of a day with a page for each line, in order."""
        made, balance = [], self.balances[day - 1]
        for number, amount in enumerate(self.lines[day]):
            page = [Entry(f"{amount}.00", on(day), f"E-{day}")]
            made.append(
                Day(
                    page, f"{balance}.00", f"{balance + amount}.00", on(day), on(day), f"P-{number}"
                )
            )
            balance += amount
        return made

    def statements(self, count: int, wrong: float = 0) -> list[Day]:
        """Return statements that overlap and repeat each other, in a random order."""
        made = []
        for number in range(count):
            first = self.chance.randint(1, 9)
            last = min(9, first + self.chance.choice((0, 0, 1, 3, 8)))
            made.append(self.statement(first, last, f"S-{number}", wrong))
        return made


@pytest.mark.parametrize("seed", range(6))
async def test_true_statements_are_accepted_in_any_order(
    sql: Sql, engine: AsyncEngine, import_bytes: Run, match: Match, seed: int
) -> None:
    chance = random.Random(seed)
    account = _Account(chance)
    arrivals = [*account.statements(6), account.statement(1, 9, "whole")]
    await _assert_accepted(sql, engine, import_bytes, match, account, arrivals)


@pytest.mark.parametrize("others", [0, 3])
@pytest.mark.parametrize("seed", range(6))
async def test_true_pages_are_accepted_in_any_order(
    sql: Sql, engine: AsyncEngine, import_bytes: Run, match: Match, seed: int, others: int
) -> None:
    account = _Account(random.Random(seed))
    pages = [page for day in range(1, 10) for page in account.pages(day)]
    arrivals = [*pages, *account.statements(others)]
    await _assert_accepted(sql, engine, import_bytes, match, account, arrivals)


async def _assert_accepted(
    sql: Sql,
    engine: AsyncEngine,
    import_bytes: Run,
    match: Match,
    account: _Account,
    arrivals: list[Day],
) -> None:
    """Import the statements, which hold all lines, in a random order."""
    account.chance.shuffle(arrivals)
    for number, day in enumerate(arrivals):
        await import_bytes(camt053(day, message_id=f"M-{number}"))
        while await import_next(engine) is not None:
            """A file that waited for this one."""
    assert await sql.fetch("SELECT problem FROM statement_files WHERE status <> 'accepted'") == []
    assert await sql.fetchval("SELECT count(*) FROM statement_lines") == sum(
        len(of_day) for of_day in account.lines.values()
    )
    await match("bank-eur", as_of=AS_OF)
    found = [await bridge(sql, engine, day) for day in range(1, 10)]
    assert {each.opening for each in found} == {account.balances[0]}
    assert [each.closing for each in found] == [account.balances[day] for day in range(1, 10)]
    assert {each.accepted for each in found} == {each.residual for each in found} == {0}


@pytest.mark.parametrize("with_pages", [False, True])
@pytest.mark.parametrize("seed", range(6))
async def test_any_arrivals_add_up_with_what_was_accepted(
    sql: Sql,
    engine: AsyncEngine,
    program: CommandLine,
    import_bytes: Run,
    match: Match,
    seed: int,
    with_pages: bool,
) -> None:
    quarantined = 0
    account = _Account(random.Random(seed))
    arrivals = account.statements(7, wrong=0.2)
    if with_pages:
        arrivals = [
            *reversed(account.pages(min(filter(account.lines.get, account.lines)))),
            *arrivals,
        ]
    for number, day in enumerate(arrivals):
        await import_bytes(camt053(day, message_id=f"M-{number}"))
        quarantined += await accept_all(sql, program)
    assert quarantined, "a seed without a wrong statement tests nothing"
    await match("bank-eur", as_of=AS_OF)
    found = [await bridge(sql, engine, day) for day in range(1, 10)]
    covered = [each for each in found if each.incomplete_because is None]
    assert len(covered) > 3
    assert [each.residual for each in covered] == [0] * len(covered)
    await assert_statements_hold(engine)
