"""Matching over HTTP: report, breaks, lines, entries, matches; each tenant sees its own."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

from quart import Quart
from quart.typing import TestClientProtocol
from sqlalchemy.ext.asyncio import AsyncEngine

from testkit.database.matching_books import (
    DAY,
    Entry,
    Line,
    add_entries,
    add_source,
    add_statement,
)
from testkit.database.sql import Sql

from .conftest import AS_OF, REASON, get_ok, run_match


async def test_lists_have_every_row_once_in_pages(
    client: TestClientProtocol, sql: Sql, engine: AsyncEngine
) -> None:
    source = await add_source(sql)
    days = [DAY - timedelta(days=number % 3) for number in range(7)]
    await add_entries(sql, [Entry(str(n + 1), f"E{n}", day) for n, day in enumerate(days)])
    lines = [Line(str((-1) ** n * (n + 20)), f"L{n}", day) for n, day in enumerate(days)]
    await add_statement(sql, source, lines, from_on=DAY - timedelta(days=3))
    await run_match(engine)
    for path, name, key in (
        ("breaks?sort=age", "breaks", lambda each: (each["breakOn"], each["id"])),
        ("breaks?sort=amount", "breaks", lambda each: (-abs(float(each["amount"])), each["id"])),
        ("lines?limit=3", "lines", lambda each: int(each["id"])),
        ("entries?limit=3", "entries", lambda each: (each["breakOn"], int(each["id"]))),
    ):
        rows: list[Any] = []
        whole = f"/sources/bank/{path.replace('limit=3', 'limit=200')}"
        step, cursor = f"/sources/bank/{path}&limit=3".replace("limit=3&limit=3", "limit=3"), ""
        while True:
            page = await get_ok(client, step + cursor)
            rows += page[name]
            if page["nextCursor"] is None:
                break
            cursor = f"&cursor={page['nextCursor']}"
        before = await get_ok(client, f"{step}&cursor={page['previousCursor']}")
        assert before[name] == rows[-len(page[name]) - 3 : -len(page[name])]
        assert len(rows) == (14 if name == "breaks" else 7)
        assert rows == sorted(rows, key=key) == (await get_ok(client, whole))[name]


async def test_breaks_and_entries_can_be_filtered(
    client: TestClientProtocol, books: tuple[list[int], list[int]], sql: Sql
) -> None:
    entries, _ = books
    names = {
        "class=bank_only": 3,
        "class=missing_in_bank": 3,
        f"age=8-30&asOf={AS_OF}": 6,
        f"age=0-1&asOf={AS_OF}": 0,
        "assignee=ann": 1,
    }
    first = (await get_ok(client, "/sources/bank/breaks"))["breaks"][0]
    note = f"/sources/bank/breaks/{first['id']}/annotate"
    answer = await client.post(note, json={"assignee": "ann", "note": "asked", "actor": "ada"})
    assert ((await answer.get_json())["assignee"], answer.status_code) == ("ann", 200)
    for narrowing, number in names.items():
        listed = await get_ok(client, f"/sources/bank/breaks?{narrowing}")
        assert len(listed["breaks"]) == number, narrowing
    answer = await client.post(note, json={"assignee": "", "actor": "ada"})
    told = await answer.get_json()
    assert (told["assignee"], told["note"]) == (None, "asked")
    found = (await get_ok(client, "/sources/bank/entries?reference=B"))["entries"]
    assert [each["id"] for each in found] == [str(entries[1])]
    found = (await get_ok(client, "/sources/bank/entries?amount=5.00"))["entries"]
    assert [each["reference"] for each in found] == ["C"]
    by_payment = await get_ok(client, f"/sources/bank/entries?reference={found[0]['paymentId']}")
    assert by_payment["entries"] == []  # This line has its own reference.


async def test_runs_and_the_report_as_csv_agree_with_the_report(
    client: TestClientProtocol, books: tuple[list[int], list[int]]
) -> None:
    runs = (await get_ok(client, "/sources/bank/runs"))["runs"]
    assert [(run["id"], run["verdict"], run["counts"]["breaks"]) for run in runs] == [
        ("1", "breaks", 6)
    ]
    assert runs[0]["counts"]["matchesByRule"] == {"reference": 1}
    report = await get_ok(client, f"/sources/bank/report?asOf={AS_OF}")
    answer = await client.get(f"/sources/bank/report.csv?asOf={AS_OF}")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(await answer.get_data(as_text=True))))
    assert {row["line"]: row["amount"] for row in rows} == report["bridge"]
    assert {row["verdict"] for row in rows} == {"breaks"}


async def test_a_tenant_acts_only_on_its_items_and_learns_no_count(
    kept: Quart, headers_of: dict[str, dict[str, str]], sql: Sql, engine: AsyncEngine
) -> None:
    client, acme, blue = kept.test_client(), headers_of["acme"], headers_of["blue"]
    await sql.execute("ALTER SEQUENCE statement_lines_id_seq RESTART 71717171")
    for tenant in ("acme", "blue"):
        source = await add_source(sql, tenant=tenant)
        await add_entries(sql, [Entry("5", "A", account=f"{tenant}~acc")])
        await add_statement(sql, source, [Line("5", "A"), Line("6", "A"), Line("7", "B")])
        await run_match(engine, tenant=tenant)
    texts = []
    answers = {}
    for path in ("report", "runs", "breaks", "lines", "entries", "matches"):
        answer = await client.get(f"/sources/bank/{path}", headers=acme)
        assert answer.status_code == 200
        texts.append(await answer.get_data(as_text=True))
        answers[path] = json.loads(texts[-1])
    line, each = answers["lines"]["lines"][0], answers["breaks"]["breaks"][0]
    for path in (f"lines/{line['id']}", f"breaks/{each['id']}"):
        mine = await client.get(f"/sources/bank/{path}", headers=acme)
        assert mine.status_code == 200
        texts.append(await mine.get_data(as_text=True))
        assert (await client.get(f"/sources/bank/{path}", headers=blue)).status_code == 404
    assert "7171717" not in "".join(texts)
    for headers in (acme, blue):
        act = f"/sources/bank/lines/{line['id']}/explain"
        answer = await client.post(act, json={"reason": "known"}, headers=headers)
        assert answer.status_code == (200 if headers is acme else 404)
    assert (await client.get("/sources/acme~bank/report", headers=blue)).status_code == 404
    reader = headers_of["reader"]
    number = await sql.fetchval("SELECT min(id) FROM statement_lines WHERE status = 'explained'")
    shown = await client.get(f"/sources/acme~bank/lines/{number}", headers=reader)
    assert (await shown.get_json())["status"] == "explained"
    act = f"/sources/acme~bank/lines/{number}/reopen"
    assert (await client.post(act, json={"reason": "x"}, headers=reader)).status_code == 403


async def test_a_payment_shows_the_line_that_confirms_it(
    client: TestClientProtocol, books: tuple[list[int], list[int]]
) -> None:
    _, lines = books
    line = await get_ok(client, f"/sources/bank/lines/{lines[0]}")
    match = await get_ok(client, f"/sources/bank/matches/{line['matchId']}")
    path = f"/payments/{match['entries'][0]['paymentId']}"
    assert (await get_ok(client, path))["settlement"] == {
        "bookedOn": DAY.isoformat(),
        "matchedAt": match["createdAt"],
        "rule": "reference",
        "source": "bank",
        "statementFileId": line["statementFileId"],
        "lineId": line["id"],
        "matchId": match["id"],
    }
    other = (await get_ok(client, "/sources/bank/entries"))["entries"][0]
    assert (await get_ok(client, f"/payments/{other['paymentId']}"))["settlement"] is None
    await client.post(f"/sources/bank/matches/{match['id']}/undo", json=REASON)
    assert (await get_ok(client, path))["settlement"] is None


async def test_a_tenant_sees_that_the_bank_of_all_confirms_its_payment(
    kept: Quart, headers_of: dict[str, dict[str, str]], sql: Sql, engine: AsyncEngine
) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("5", "A", account="acme~acc")])
    await add_statement(sql, source, [Line("5", "A")])
    await run_match(engine)
    payment = await sql.fetchval("SELECT id FROM payments")
    shown = await get_ok(kept.test_client(), f"/payments/{payment}", headers=headers_of["acme"])
    settlement = shown["settlement"]
    assert settlement.pop("matchedAt")
    assert (settlement.pop("bookedOn"), settlement.pop("rule")) == (DAY.isoformat(), "reference")
    assert set(settlement.values()) == {None}
