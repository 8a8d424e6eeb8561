"""Matching against a truth that is known: a seeded ledger, and a model in plain Python."""

import random
from collections import Counter, defaultdict
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from recon_worker.statements.matching.undo import undo_run
from testkit.database.matching_books import (
    Entry,
    Line,
    active_matches,
    add_entries,
    add_source,
    add_statement,
    state_of,
)
from testkit.database.sql import Sql

from .conftest import Match

LINES = 5_000
TRAPS = 1_000  # Lines of one amount without a usable reference.
ROUNDS = 25


async def test_every_unique_reference_is_matched_and_no_trap(
    sql: Sql, match: Match, engine: AsyncEngine
) -> None:
    chance = random.Random(18)
    source = await add_source(sql)
    genuine = LINES - TRAPS
    entries = [Entry(f"{chance.randint(100, 9_999)}.00", f"R-{n}") for n in range(genuine)]
    entries += [Entry("25.00", f"T-{n}") for n in range(TRAPS)]
    entry_ids = await add_entries(sql, entries)
    place = list(range(genuine))
    chance.shuffle(place)
    lines = [Line(entries[n].amount, entries[n].reference) for n in place]
    # No reference, a reference of another amount, one that two lines share, one that is unknown.
    trapped = (None, "R-1", "T-1", "unknown")
    lines += [Line("25.00", trapped[n % 4]) for n in range(TRAPS)]
    line_ids = await add_statement(sql, source, lines)
    run = (await match()).run
    expected = {("reference", (line_ids[at],), (entry_ids[n],)) for at, n in enumerate(place)}
    assert await active_matches(sql) == expected
    before = await state_of(sql)
    assert not (await match()).changed
    assert await state_of(sql) == before
    assert await undo_run(engine, source, run.id, Operator("ann"), "again") == genuine
    await match()
    assert await state_of(sql) == before


def _unique(items: list[tuple[int, object]]) -> dict[object, int]:
    """Return the keys that one item has, with the item."""
    counts = Counter(key for _, key in items)
    return {key: item for item, key in items if key is not None and counts[key] == 1}


def _model(
    lines: dict[int, Line], entries: dict[int, Entry]
) -> set[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """Return the matches of the default rules: from their description, not from the SQL."""
    found: set[tuple[str, tuple[int, ...], tuple[int, ...]]] = set()
    for rule, field in (("reference", "end_to_end"), ("bank_reference", "bank_ref")):
        of_lines = _unique(
            [
                (at, getattr(line, field) and (getattr(line, field), Decimal(line.amount)))
                for at, line in lines.items()
            ]
        )
        of_entries = _unique(
            [(at, (entry.reference, Decimal(entry.amount))) for at, entry in entries.items()]
        )
        for key in of_lines.keys() & of_entries.keys():
            line_id, entry_id = of_lines[key], of_entries[key]
            found.add((rule, (line_id,), (entry_id,)))
            del lines[line_id], entries[entry_id]
    batches: dict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for at, line in lines.items():
        if line.batch_ref is not None:
            batches[line.batch_ref][0].append(at)
    for at, entry in entries.items():
        if entry.reference in batches:
            batches[entry.reference][1].append(at)
    for line_ids, entry_ids in batches.values():
        of_lines_sum = sum(Decimal(lines[at].amount) for at in line_ids)
        of_entries_sum = sum(Decimal(entries[at].amount) for at in entry_ids)
        one = min(len(line_ids), len(entry_ids)) == 1
        if one and of_lines_sum == of_entries_sum:
            found.add(("batch_sum", tuple(sorted(line_ids)), tuple(sorted(entry_ids))))
    return found


async def test_the_rules_agree_with_a_model(sql: Sql, match: Match) -> None:
    """Few references and amounts, so that every kind of ambiguity occurs."""
    chance = random.Random(5)
    seen: Counter[str] = Counter()
    for number in range(ROUNDS):
        name, channel = f"bank-{number}", f"channel-{number}"
        source = await add_source(sql, name, channel=channel)
        references = [f"{number}-{letter}" for letter in "ABCD"]

        def pick(pool: list[str], chance: random.Random = chance) -> str | None:
            return chance.choice([*pool, None, None])

        wanted = [
            Entry(str(chance.randint(1, 3)), chance.choice(references))
            for _ in range(chance.randint(0, 9))
        ]
        lines = [
            Line(
                str(chance.randint(1, 6)),
                pick(references),
                bank_ref=pick(references),
                batch_ref=pick(references),
            )
            for _ in range(chance.randint(1, 9))
        ]
        entry_ids = await add_entries(sql, wanted, channel=channel)
        line_ids = await add_statement(sql, source, lines)
        before = await active_matches(sql)
        await match(name)
        found = await active_matches(sql) - before
        model = _model(
            dict(zip(line_ids, lines, strict=True)), dict(zip(entry_ids, wanted, strict=True))
        )
        assert found == model, (wanted, lines)
        seen.update(rule for rule, *_ in found)
    assert all(seen[rule] for rule in ("reference", "bank_reference", "batch_sum")), seen
