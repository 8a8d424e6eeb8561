"""The bridge along a chain of statements, whatever order and shape the bank sends them in."""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import transaction
from payments_core.matching.bridge import STATEMENTS, Bridge, read_bridge
from recon_worker.audit.statements import STATEMENT_INVARIANTS
from recon_worker.statements.importing.load import import_next
from testkit.camt_files import Day, Entry, camt053
from testkit.command_line import CommandLine
from testkit.database.ledgers.settled import findings_of
from testkit.database.matching_books import Line, add_source, add_statement
from testkit.database.sql import Sql
from testkit.statements import csv_profile

from ..conftest import Run
from .conftest import Match

MONTH, AS_OF = "2026-09", date(2026, 9, 28)


def _on(day: int) -> str:
    return f"{MONTH}-{day:02}"


def _of(
    first: int, last: int, amounts: dict[int, str], opening: str, closing: str | None = None
) -> Day:
    """Return a statement of some days with one line for each amount."""
    lines = [Entry(amount, _on(day), f"E-{day}-{amount}") for day, amount in amounts.items()]
    bank_id = f"S-{first}-{last}-{len(lines)}-{closing}"
    return Day(lines, opening, closing, _on(first), _on(last), bank_id)


@dataclass(frozen=True, slots=True)
class Case:
    """Statements in the order of their arrival, and the difference accepted up to each day.

    A quarantined one is accepted by an operator.
    """

    arrivals: Sequence[Day]
    accepted: dict[int, str]
    quarantined: int = 0


ONE, TWO, THREE = (_of(day, day, {day: "1.00"}, f"{99 + day}.00") for day in (1, 2, 3))
CASES = {
    "day by day": Case([ONE, TWO, THREE], {1: "0", 2: "0", 3: "0"}),
    "the older ones later": Case([THREE, TWO, ONE], {1: "0", 2: "0", 3: "0"}),
    "a day of a week again": Case(
        [
            _of(1, 5, {1: "1.00", 3: "2.00", 5: "4.00"}, "100.00"),
            _of(3, 3, {3: "2.00"}, "101.00"),
            _of(6, 6, {6: "8.00"}, "107.00"),
        ],
        {1: "0", 3: "0", 4: "0", 5: "0", 6: "0"},
    ),
    "a week after its days": Case(
        [ONE, TWO, THREE, _of(1, 3, {1: "1.00", 2: "1.00", 3: "1.00"}, "100.00")],
        {1: "0", 2: "0", 3: "0"},
    ),
    "a statement that does not close": Case(
        [ONE, _of(2, 2, {2: "1.00"}, "101.00", "90.00"), _of(3, 3, {3: "1.00"}, "90.00")],
        {1: "0", 2: "-12.00", 3: "-12.00"},
        quarantined=1,
    ),
    "the first does not close": Case(
        [_of(1, 1, {1: "1.00"}, "100.00", "90.00"), _of(2, 2, {2: "1.00"}, "90.00")],
        {1: "-11.00", 2: "-11.00"},
        quarantined=1,
    ),
    "a missing day": Case([ONE, THREE], {1: "0", 2: "0", 3: "1.00"}, quarantined=1),
    "a missing day that arrives in the end": Case(
        [ONE, THREE, TWO], {1: "0", 2: "0", 3: "0"}, quarantined=1
    ),
    "an older one that does not lead to the next": Case(
        [_of(3, 3, {3: "1.00"}, "110.00"), ONE], {1: "0", 2: "0", 3: "9.00"}, quarantined=1
    ),
    "a corrected closing balance": Case(
        [ONE, _of(1, 1, {1: "1.00"}, "100.00", "105.00"), _of(2, 2, {2: "1.00"}, "105.00")],
        {1: "4.00", 2: "4.00"},
        quarantined=1,
    ),
    "a difference, and the line that explains it": Case(
        [
            _of(1, 1, {1: "1.00"}, "100.00", "103.00"),
            _of(1, 1, {1: "1.00", 2: "2.00"}, "100.00", "103.00"),
            _of(2, 2, {2: "5.00"}, "103.00"),
        ],
        {1: "0", 2: "0"},
        quarantined=1,
    ),
    "a late line inside a week": Case(
        [
            _of(1, 5, {1: "1.00", 3: "2.00", 5: "4.00"}, "100.00"),
            _of(3, 3, {3: "2.00", 4: "0.50"}, "101.00"),
            _of(6, 6, {6: "8.00"}, "107.00"),
        ],
        {2: "0", 3: "0", 4: "0", 5: "-0.50", 6: "-0.50"},
        quarantined=1,
    ),
    "a week of which the end is known": Case(
        [
            _of(3, 7, {3: "1.00", 5: "2.00", 7: "4.00"}, "103.00"),
            _of(1, 5, {1: "1.00", 2: "2.00", 3: "1.00", 5: "2.00"}, "100.00"),
        ],
        {1: "0", 2: "0", 3: "0", 4: "0", 5: "0", 6: "0", 7: "0"},
    ),
    "two weeks of which the first is known": Case(
        [
            _of(1, 7, {1: "1.00", 7: "2.00"}, "100.00"),
            _of(1, 14, {1: "1.00", 7: "2.00", 9: "4.00", 14: "8.00"}, "100.00"),
        ],
        {3: "0", 7: "0", 8: "0", 9: "0", 13: "0", 14: "0"},
    ),
    "a month after some of its days": Case(
        [
            _of(4, 4, {4: "1.00"}, "103.00"),
            _of(5, 5, {5: "2.00"}, "104.00"),
            _of(1, 9, {2: "3.00", 4: "1.00", 5: "2.00", 8: "4.00"}, "100.00"),
        ],
        {1: "0", 2: "0", 3: "0", 4: "0", 5: "0", 7: "0", 8: "0", 9: "0"},
    ),
    "a day of a week with other balances": Case(
        [
            _of(1, 5, {1: "1.00", 3: "2.00", 5: "4.00"}, "100.00"),
            _of(3, 3, {3: "2.00"}, "201.00"),
            _of(6, 6, {6: "8.00"}, "107.00"),
        ],
        {2: "0", 3: "0", 5: "0", 6: "0"},
    ),
    "a day that contradicts the next one": Case(
        [
            _of(1, 1, {}, "100.00"),
            _of(3, 3, {3: "1.00"}, "100.00"),
            _of(2, 2, {2: "5.00"}, "100.00"),
        ],
        {1: "0", 2: "0", 3: "-5.00"},
        quarantined=1,
    ),
    "the first page of a day again": Case(
        [
            _of(1, 1, {1: "1.00"}, "100.00"),
            _of(1, 1, {1: "2.00"}, "101.00"),
            _of(1, 1, {1: "1.00"}, "100.00"),
            _of(2, 2, {2: "4.00"}, "103.00"),
        ],
        {1: "0", 2: "0"},
    ),
    "the second page of a day within a week": Case(
        [
            _of(1, 5, {1: "1.00", 2: "2.00", 5: "4.00"}, "100.00"),
            _of(1, 2, {2: "2.00"}, "101.00"),
            _of(1, 2, {1: "1.00"}, "100.00"),
        ],
        {1: "0", 2: "0", 3: "0", 5: "0"},
    ),
    "the second page of a first day, and then the week": Case(
        [
            _of(1, 2, {2: "2.00"}, "101.00"),
            _of(1, 5, {1: "1.00", 2: "2.00", 5: "4.00"}, "100.00"),
        ],
        {2: "0", 3: "0", 5: "0"},
        quarantined=1,
    ),
    "an empty statement of a day within a week": Case(
        [_of(1, 5, {1: "1.00", 5: "4.00"}, "100.00"), _of(1, 1, {}, "100.00")],
        {1: "-1.00", 3: "-1.00", 5: "0"},
        quarantined=1,
    ),
    "a part of an accepted gap": Case(
        [
            _of(6, 6, {6: "4.00"}, "107.00"),
            _of(2, 2, {2: "-3.00"}, "107.00"),
            _of(3, 3, {3: "1.00"}, "104.00"),
        ],
        {2: "0", 3: "0", 4: "0", 6: "2.00"},
        quarantined=1,
    ),
    "a line that the bank books later on an earlier day": Case(
        [
            ONE,
            _of(2, 2, {}, "101.00"),
            _of(1, 4, {1: "1.00", 2: "0.50", 4: "4.00"}, "100.00"),
        ],
        {1: "0", 2: "0", 3: "0", 4: "0"},
    ),
    "two pages of a day": Case(
        [_of(1, 1, {1: "1.00"}, "100.00"), _of(1, 1, {1: "2.00"}, "101.00")], {1: "0"}
    ),
    "two pages of a day, the second of which does not close": Case(
        [
            _of(1, 1, {1: "1.00"}, "100.00"),
            _of(1, 1, {1: "2.00"}, "101.00", "100.00"),
            _of(2, 2, {2: "1.00"}, "100.00"),
        ],
        {1: "-3.00", 2: "-3.00"},
        quarantined=1,
    ),
}


async def _bridge(sql: Sql, engine: AsyncEngine, day: int) -> Bridge:
    source = await sql.fetchval("SELECT id FROM recon_sources")
    async with transaction(engine) as tx:
        return await read_bridge(tx, source, date.fromisoformat(_on(day)), AS_OF)


async def _accept_all(sql: Sql, program: CommandLine) -> int:
    files = await sql.fetch("SELECT id FROM statement_files WHERE status = 'quarantined'")
    for file in files:
        words = ("statements", "accept", str(file["id"]), "--actor", "ada")
        status, _out, err = await program(*words, "--reason", "the bank confirms it")
        assert status == 0, err
    return len(files)


@pytest.mark.parametrize("name", CASES)
async def test_every_day_adds_up_with_what_was_accepted(
    sql: Sql, engine: AsyncEngine, program: CommandLine, import_bytes: Run, match: Match, name: str
) -> None:
    case, quarantined = CASES[name], 0
    for number, day in enumerate(case.arrivals):
        await import_bytes(camt053(day, message_id=f"M-{number}"))
        quarantined += await _accept_all(sql, program)
    assert quarantined == case.quarantined
    await match("bank-eur", as_of=AS_OF)
    found = {day: await _bridge(sql, engine, day) for day in case.accepted}
    assert {day: each.residual for day, each in found.items()} == dict.fromkeys(found, 0)
    assert {day: each.accepted for day, each in found.items()} == {
        day: Decimal(amount) for day, amount in case.accepted.items()
    }
    assert {each.incomplete_because for each in found.values()} == {None}
    findings = await findings_of(engine, "full")
    assert [findings[each.name].offenders for each in STATEMENT_INVARIANTS] == [
        [] for _ in STATEMENT_INVARIANTS
    ]


# What the second statement lacks, the opening balance of the third → the differences accepted.
WITHOUT_A_BALANCE = {
    "no closing balance, and the next counts its lines": ("CLBD", "102.00", ["0", "0", "0"]),
    "no closing balance, and the next does not": ("CLBD", "101.00", ["0", "0", "-1.00"]),
    "no opening balance": ("OPBD", "102.00", ["0", "0", "0"]),
}


@pytest.mark.parametrize("is_first", [False, True])
@pytest.mark.parametrize("case", WITHOUT_A_BALANCE)
async def test_an_accepted_statement_without_a_balance_leaves_no_residual(
    sql: Sql,
    engine: AsyncEngine,
    program: CommandLine,
    import_bytes: Run,
    match: Match,
    case: str,
    is_first: bool,
) -> None:
    code, opening, accepted = WITHOUT_A_BALANCE[case]
    balance = rf"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd>.*?</Bal>".encode()
    files = [camt053(TWO), camt053(_of(3, 3, {3: "1.00"}, opening))]
    files[0] = re.sub(balance, b"", files[0])
    for file in files if is_first else [camt053(ONE), *files]:
        await import_bytes(file)
        await _accept_all(sql, program)
    await match("bank-eur", as_of=AS_OF)
    found = [await _bridge(sql, engine, day) for day in (1, 2, 3)]
    assert [each.residual for each in found] == [0, 0, 0]
    if not is_first:
        assert [each.accepted for each in found] == [Decimal(amount) for amount in accepted]


async def test_a_changed_balance_is_a_residual_beside_an_accepted_difference(
    sql: Sql, engine: AsyncEngine, program: CommandLine, import_bytes: Run, match: Match
) -> None:
    for day in CASES["a statement that does not close"].arrivals:
        await import_bytes(camt053(day))
        await _accept_all(sql, program)
    await import_bytes(camt053(_of(4, 4, {4: "1.00"}, "91.00")))
    await match("bank-eur", as_of=AS_OF)
    await sql.execute("SET session_replication_role = replica")
    await sql.execute(
        "UPDATE statements SET opening = opening + 0.01, closing = closing + 0.01"
        " WHERE from_on = '2026-09-04'"
    )
    await sql.execute("RESET session_replication_role")
    found = [await _bridge(sql, engine, day) for day in (3, 4)]
    assert [(each.accepted, each.residual) for each in found] == [
        (Decimal("-12.00"), Decimal("0.00")),
        (Decimal("-12.00"), Decimal("0.01")),
    ]
    assert found[1].verdict == "breaks"


async def test_files_without_balances_have_no_gap(
    sql: Sql, engine: AsyncEngine, program: CommandLine, tmp_path: Path, match: Match
) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps(csv_profile()))
    words = ("--account", "SHOP", "--currency", "EUR", "--format", "csv", "--profile", str(profile))
    assert (await program("sources", "add", "shop", *words))[0] == 0
    for day in (1, 2):
        file = tmp_path / f"{day}.csv"
        file.write_text(f"Datum;Betrag;Text\n{day:02}.09.2026;7,50;x\n")
        status, _out, err = await program("statements", "import", str(file), "--source", "shop")
        assert status == 0, err
    await match("shop", as_of=AS_OF)
    found = [await _bridge(sql, engine, day) for day in (1, 2)]
    assert [(each.incomplete_because, each.closing) for each in found] == [
        (None, Decimal("7.50")),
        (None, Decimal("15.00")),
    ]
    assert [each.residual for each in found] == [0, 0]


class _Account:
    """Nine days of an account at a bank, and the statements that the bank makes of them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        amounts = [*range(-900, 0), *range(1, 900)]
        self.lines = {day: chance.sample(amounts, chance.randrange(4)) for day in range(1, 10)}
        self.balances = {0: 10_000}
        for day, of_day in self.lines.items():
            self.balances[day] = self.balances[day - 1] + sum(of_day)

    def statement(self, first: int, last: int, bank_id: str, wrong: float = 0) -> Day:
        """Return the statement of some days; a wrong one may not close, or lack a line."""
        entries = [
            Entry(f"{amount}.00", _on(day), f"E-{day}")
            for day in range(first, last + 1)
            for amount in self.lines[day]
        ]
        closing = self.balances[last] + (5 if self.chance.random() < wrong else 0)
        if entries and self.chance.random() < wrong:
            entries.pop(self.chance.randrange(len(entries)))
        opening = f"{self.balances[first - 1]}.00"
        return Day(entries, opening, f"{closing}.00", _on(first), _on(last), bank_id)

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
    chance.shuffle(arrivals)
    for number, day in enumerate(arrivals):
        await import_bytes(camt053(day, message_id=f"M-{number}"))
        while await import_next(engine) is not None:
            """A file that waited for this one."""
    assert await sql.fetch("SELECT problem FROM statement_files WHERE status <> 'accepted'") == []
    assert await sql.fetchval("SELECT count(*) FROM statement_lines") == sum(
        len(of_day) for of_day in account.lines.values()
    )
    await match("bank-eur", as_of=AS_OF)
    found = [await _bridge(sql, engine, day) for day in range(1, 10)]
    assert [each.closing for each in found] == [account.balances[day] for day in range(1, 10)]
    assert {each.accepted for each in found} == {each.residual for each in found} == {0}


@pytest.mark.parametrize("seed", range(6))
async def test_any_arrivals_add_up_with_what_was_accepted(
    sql: Sql, engine: AsyncEngine, program: CommandLine, import_bytes: Run, match: Match, seed: int
) -> None:
    quarantined = 0
    account = _Account(random.Random(seed))
    for number, day in enumerate(account.statements(7, wrong=0.2)):
        await import_bytes(camt053(day, message_id=f"M-{number}"))
        quarantined += await _accept_all(sql, program)
    assert quarantined, "a seed without a wrong statement tests nothing"
    await match("bank-eur", as_of=AS_OF)
    found = [await _bridge(sql, engine, day) for day in range(1, 10)]
    covered = [each for each in found if each.incomplete_because is None]
    assert len(covered) > 3
    assert [each.residual for each in covered] == [0] * len(covered)
    findings = await findings_of(engine, "full")
    assert [findings[each.name].offenders for each in STATEMENT_INVARIANTS] == [
        [] for _ in STATEMENT_INVARIANTS
    ]


async def test_a_chain_without_overlaps_is_read_without_its_lines(sql: Sql) -> None:
    source = await add_source(sql)
    balance = Decimal(100)
    for day in range(1, 29):
        on = date.fromisoformat(_on(day))
        lines = [Line("1.00", f"E-{day}-{number}", on) for number in range(100)]
        await add_statement(sql, source, lines, from_on=on, to_on=on, opening=balance)
        balance += 100
    await sql.execute("VACUUM ANALYZE statements, statement_lines")
    await sql.execute(f"PREPARE chain AS {STATEMENTS}")
    plan = await sql.fetch(f"EXPLAIN (ANALYZE, COSTS OFF) EXECUTE chain({source}, '{_on(20)}')")
    reads = [row[0] for row in plan if " on statement_lines" in row[0]]
    assert reads
    assert all(each.endswith("(never executed)") for each in reads), "\n".join(r[0] for r in plan)
