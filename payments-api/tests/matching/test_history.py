"""Lists of matches and of resolved breaks: whole in both directions, and bounded in each step."""

from datetime import timedelta
from typing import Any

import pytest
from quart.typing import TestClientProtocol
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import transaction
from payments_core.db.keyset import EXAMINED_MAX
from payments_core.matching import breaks, history
from payments_core.matching.lines import set_aside
from payments_core.matching.matches import match_by_hand, undo_match
from testkit.database.matching_books import (
    DAY,
    Entry,
    Line,
    add_entries,
    add_source,
    add_statement,
)
from testkit.database.sql import Sql
from testkit.paging import read_both_ways

from .conftest import get_ok, run_match

ANN = Operator("ann")
PAIRS = 9


@pytest.fixture
async def past(sql: Sql, engine: AsyncEngine) -> dict[str, list[int]]:
    """Matches of two sources by turns, every third undone, and breaks that were resolved."""
    matched: dict[str, list[int]] = {"active": [], "undone": []}
    sources = [await add_source(sql, name, channel=name) for name in ("bank", "other")]
    for number in range(PAIRS):
        for name, source in zip(("bank", "other"), sources, strict=True):
            await add_entries(sql, [Entry("10", f"R-{number}")], channel=name)
            await add_statement(sql, source, [Line("10", f"R-{number}")], opening=None)
            await run_match(engine, name)
        made = await sql.fetchval(
            "SELECT max(id) FROM recon_matches WHERE source_id = $1", sources[0]
        )
        if number % 3 == 0:
            async with transaction(engine) as tx:
                await undo_match(tx, sources[0], made, ANN, "a test")
        matched["undone" if number % 3 == 0 else "active"].insert(0, made)
    return matched


def _reading(client: TestClientProtocol, path: str) -> Any:
    async def read(end: str) -> Any:
        return await get_ok(client, f"/sources/bank/{path}{end}")

    return read


@pytest.mark.parametrize("examined", [EXAMINED_MAX, 3])
@pytest.mark.parametrize("status", ["active", "undone"])
async def test_each_match_is_listed_once_and_steps_are_bounded(
    client: TestClientProtocol,
    past: dict[str, list[int]],
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    examined: int,
) -> None:
    monkeypatch.setattr(history, "EXAMINED_MAX", examined)
    listed = await read_both_ways(_reading(client, f"matches?status={status}&limit=2"), "matches")
    assert [int(each["id"]) for each in listed] == past[status]
    (shown, *_) = listed
    whole = await get_ok(client, f"/sources/bank/matches/{shown['id']}")
    assert whole.items() >= shown.items()
    assert (shown["undoneBy"] is None) == (status == "active")


async def test_the_matches_of_a_run_are_those_it_made(
    client: TestClientProtocol, past: dict[str, list[int]]
) -> None:
    newest = (await get_ok(client, "/sources/bank/matches?limit=1"))["matches"][0]
    of_run = await get_ok(client, f"/sources/bank/matches?run={newest['runId']}")
    assert [int(each["id"]) for each in of_run["matches"]] == past["active"][:1]
    assert (await get_ok(client, "/sources/bank/matches?run=999999"))["matches"] == []


async def test_a_match_of_many_has_the_sum_of_its_sides(
    client: TestClientProtocol, sql: Sql, engine: AsyncEngine
) -> None:
    source = await add_source(sql)
    entries = await add_entries(sql, [Entry("3", "A"), Entry("4", "B"), Entry("9", "C")])
    lines = await add_statement(sql, source, [Line("7", "x"), Line("4.5", "y"), Line("4.5", "z")])
    await run_match(engine)
    async with transaction(engine) as tx:
        await match_by_hand(tx, source, lines[:1], entries[:2], ANN, "two")
        await match_by_hand(tx, source, lines[1:], entries[2:], ANN, "one")
    listed = (await get_ok(client, "/sources/bank/matches"))["matches"]
    assert [(each["why"], each["amount"]) for each in listed] == [("one", "9.00"), ("two", "7.00")]


@pytest.mark.parametrize("examined", [EXAMINED_MAX, 3])
async def test_each_resolved_break_is_listed_once(
    client: TestClientProtocol,
    sql: Sql,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
    examined: int,
) -> None:
    source = await add_source(sql)
    other = await add_source(sql, "other", channel="other")
    entries = await add_entries(sql, [Entry(f"{n + 1}", f"E-{n}") for n in range(3)])
    lines = await add_statement(sql, source, [Line(f"{n + 1}", f"L-{n}") for n in range(6)])
    await add_statement(sql, other, [Line("1"), Line("2")])
    await run_match(engine)
    await run_match(engine, "other")
    async with transaction(engine) as tx:
        for place in range(2):
            await match_by_hand(tx, source, [lines[place]], [entries[place]], ANN, "typo")
        await set_aside(tx, source, lines[5], "explain", ANN, "a fee")
    monkeypatch.setattr(history, "EXAMINED_MAX", examined)
    path = "breaks?status=resolved&limit=2"
    listed = await read_both_ways(_reading(client, path), "breaks")
    # Of lines, then of entries, newest item first.
    assert [(each["side"], int(each["itemId"])) for each in listed] == [
        *(("line", lines[place]) for place in (5, 1, 0)),
        *(("entry", entries[place]) for place in (1, 0)),
    ]
    assert {each["resolvedBy"] for each in listed} == {"ann"}
    monkeypatch.setattr(history, "EXAMINED_MAX", 100)
    for query, number in (("class=missing_in_bank", 2), ("assignee=bob", 0)):
        found = await get_ok(client, f"/sources/bank/breaks?status=resolved&{query}")
        assert len(found["breaks"]) == number, query
    still = await get_ok(client, "/sources/bank/breaks?status=open")
    assert len(still["breaks"]) == 4


async def test_the_largest_breaks_are_sought_among_those_due_first(
    client: TestClientProtocol, sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await add_source(sql)
    lines = [Line(f"{n + 1}", f"L-{n}", DAY + timedelta(days=n)) for n in range(5)]
    await add_statement(sql, source, lines, to_on=DAY + timedelta(days=4))
    await run_match(engine)
    path = "/sources/bank/breaks?sort=amount"
    for most, largest in ((breaks.SORTED_MAX, "5.00"), (3, "3.00")):
        monkeypatch.setattr(breaks, "SORTED_MAX", most)
        assert (await get_ok(client, path))["breaks"][0]["amount"] == largest


@pytest.mark.parametrize(
    "query",
    [
        "matches?status=odd",
        "matches?run=abc",
        "breaks?status=odd",
        "breaks?status=resolved&sort=amount",
        "breaks?status=resolved&age=0-1",
    ],
)
async def test_a_filter_that_means_nothing_is_refused(
    client: TestClientProtocol, sql: Sql, query: str
) -> None:
    await add_source(sql)
    assert (await client.get(f"/sources/bank/{query}")).status_code == 422
