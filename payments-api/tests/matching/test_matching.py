"""Matching over HTTP: report, breaks, lines, entries, matches; each tenant sees its own."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api.auth.keys import KeyGrant, add_key, new_key
from payments_core.db.engine import create_engine, transaction
from payments_core.statements.sources import find_source
from recon_worker.statements.matching.run import run_matching
from testkit.database.backlog import Sql
from testkit.database.matching_books import (
    DAY,
    Entry,
    Line,
    add_entries,
    add_source,
    add_statement,
)

AS_OF = (DAY + timedelta(days=10)).isoformat()
REASON = {"reason": "one customer, two invoices", "actor": "ada"}


async def _run(engine: AsyncEngine, name: str = "bank", tenant: str | None = None) -> None:
    async with transaction(engine) as tx:
        source = await find_source(tx, name, tenant)
    await run_matching(engine, source, DAY + timedelta(days=10))


async def _get(client: TestClientProtocol, path: str, **options: Any) -> Any:
    answer = await client.get(path, **options)
    assert answer.status_code == 200, await answer.get_data()
    return await answer.get_json()


@pytest.fixture
async def books(sql: Sql, engine: AsyncEngine) -> tuple[list[int], list[int]]:
    """Entries and lines of a run: one matched, one of two invoices, one with a typo, one fee."""
    source = await add_source(sql)
    entries = [Entry("10", "A"), Entry("7", "B"), Entry("5", "C"), Entry("6", "C2")]
    lines = [Line("10", "A"), Line("7", "typo"), Line("11", "both"), Line("-1.20")]
    ids = await add_entries(sql, entries), await add_statement(sql, source, lines)
    await _run(engine)
    return ids


async def test_all_breaks_of_a_day_are_resolved_over_http(
    client: TestClientProtocol, books: tuple[list[int], list[int]]
) -> None:
    entries, lines = books
    report = await _get(client, f"/sources/bank/report?asOf={AS_OF}")
    assert (report["verdict"], report["on"], report["bridge"]["residual"]) == (
        *("breaks", DAY.isoformat(), "0.00"),
    )
    listed = (await _get(client, f"/sources/bank/breaks?asOf={AS_OF}"))["breaks"]
    found = {(each["side"], each["itemId"]): each for each in listed}
    typo = found["line", str(lines[1])]
    assert typo["whyNot"] == "no entry has this reference; 1 entry has this amount"
    assert [one["id"] for one in typo["candidates"]] == [str(entries[1])]
    assert (typo["age"], typo["ageDays"], typo["currency"]) == ("8-30", 10, "EUR")

    one = {"lines": [str(lines[1])], "entries": [str(entries[1])], **REASON}
    answer = await client.post("/sources/bank/matches", json=one)
    made = await answer.get_json()
    assert (answer.status_code, made["rule"], made["actor"], made["amount"]) == (
        *(201, "manual", "ada", "7"),
    )
    assert (await _get(client, answer.headers["Location"])) == made
    shown = await _get(client, f"/sources/bank/lines/{lines[1]}")
    assert (shown["status"], shown["matchId"], shown["candidates"]) == ("matched", made["id"], [])
    settled = await _get(client, f"/sources/bank/breaks/{typo['id']}")
    assert (settled["resolvedBy"], settled["candidates"]) == ("ada", [])

    uneven = {"lines": [str(lines[2])], "entries": [str(entries[2])], **REASON}
    answer = await client.post("/sources/bank/matches", json=uneven)
    told = await answer.get_json()
    assert (answer.status_code, told["code"]) == (409, "match_refused")
    assert told["detail"] == "The lines sum to 11, the entries to 5."
    both = {**uneven, "entries": [str(entries[2]), str(entries[3])]}
    assert (await client.post("/sources/bank/matches", json=both)).status_code == 201
    fee = f"/sources/bank/lines/{lines[3]}"
    answer = await client.post(f"{fee}/explain", json={"reason": "a fee", "actor": "ada"})
    assert (await answer.get_json())["status"] == "explained"
    again = await client.post(f"{fee}/ignore", json={"reason": "a fee", "actor": "ada"})
    assert (again.status_code, (await again.get_json())["detail"]) == (
        409,
        f"Line {lines[3]} is explained: there is nothing to ignore.",
    )
    report = await _get(client, f"/sources/bank/report?asOf={AS_OF}")
    assert report["verdict"] == "reconciled"
    assert (await _get(client, "/sources/bank/breaks"))["breaks"] == []
    acts = (await _get(client, "/operator-actions"))["actions"]
    assert [(act["action"], act["actor"]) for act in acts] == [
        *(("explain", "ada"), ("match", "ada"), ("match", "ada")),
    ]


async def test_an_undone_match_and_a_reopened_line_are_open_again(
    client: TestClientProtocol, books: tuple[list[int], list[int]]
) -> None:
    entries, lines = books
    by_rule = (await _get(client, f"/sources/bank/lines/{lines[0]}"))["matchId"]
    match = await _get(client, f"/sources/bank/matches/{by_rule}")
    assert (match["rule"], match["why"], match["runId"]) == ("reference", "end_to_end A", "1")
    assert [entry["id"] for entry in match["entries"]] == [str(entries[0])]
    undo = f"/sources/bank/matches/{by_rule}/undo"
    answer = await client.post(undo, json=REASON)
    assert (await answer.get_json())["undoneBy"] == "ada"
    again = await client.post(undo, json=REASON)
    assert (again.status_code, (await again.get_json())["detail"]) == (
        *(409, f"Match {by_rule} has been undone by ada."),
    )
    shown = await _get(client, f"/sources/bank/lines/{lines[0]}")
    assert (shown["status"], shown["matchId"]) == ("unmatched", None)
    assert shown["whyNot"] == f"match {by_rule} was undone"
    line = f"/sources/bank/lines/{lines[3]}"
    assert (await client.post(f"{line}/ignore", json=REASON)).status_code == 200
    answer = await client.post(f"{line}/reopen", json=REASON)
    assert (await answer.get_json())["status"] == "unmatched"


async def test_lists_have_every_row_once_in_pages(
    client: TestClientProtocol, sql: Sql, engine: AsyncEngine
) -> None:
    source = await add_source(sql)
    days = [DAY - timedelta(days=number % 3) for number in range(7)]
    await add_entries(sql, [Entry(str(n + 1), f"E{n}", day) for n, day in enumerate(days)])
    lines = [Line(str((-1) ** n * (n + 20)), f"L{n}", day) for n, day in enumerate(days)]
    await add_statement(sql, source, lines, from_on=DAY - timedelta(days=3))
    await _run(engine)
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
            page = await _get(client, step + cursor)
            rows += page[name]
            if page["nextCursor"] is None:
                break
            cursor = f"&cursor={page['nextCursor']}"
        before = await _get(client, f"{step}&cursor={page['previousCursor']}")
        assert before[name] == rows[-len(page[name]) - 3 : -len(page[name])]
        assert len(rows) == (14 if name == "breaks" else 7)
        assert rows == sorted(rows, key=key) == (await _get(client, whole))[name]


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
    first = (await _get(client, "/sources/bank/breaks"))["breaks"][0]
    note = f"/sources/bank/breaks/{first['id']}/annotate"
    answer = await client.post(note, json={"assignee": "ann", "note": "asked", "actor": "ada"})
    assert ((await answer.get_json())["assignee"], answer.status_code) == ("ann", 200)
    for narrowing, number in names.items():
        listed = await _get(client, f"/sources/bank/breaks?{narrowing}")
        assert len(listed["breaks"]) == number, narrowing
    answer = await client.post(note, json={"assignee": "", "actor": "ada"})
    told = await answer.get_json()
    assert (told["assignee"], told["note"]) == (None, "asked")
    found = (await _get(client, "/sources/bank/entries?reference=B"))["entries"]
    assert [each["id"] for each in found] == [str(entries[1])]
    found = (await _get(client, "/sources/bank/entries?amount=5.00"))["entries"]
    assert [each["reference"] for each in found] == ["C"]
    by_payment = await _get(client, f"/sources/bank/entries?reference={found[0]['paymentId']}")
    assert by_payment["entries"] == []  # This line has its own reference.


async def test_runs_and_the_report_as_csv_agree_with_the_report(
    client: TestClientProtocol, books: tuple[list[int], list[int]]
) -> None:
    runs = (await _get(client, "/sources/bank/runs"))["runs"]
    assert [(run["id"], run["verdict"], run["counts"]["breaks"]) for run in runs] == [
        ("1", "breaks", 6)
    ]
    assert runs[0]["counts"]["matchesByRule"] == {"reference": 1}
    report = await _get(client, f"/sources/bank/report?asOf={AS_OF}")
    answer = await client.get(f"/sources/bank/report.csv?asOf={AS_OF}")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(await answer.get_data(as_text=True))))
    assert {row["line"]: row["amount"] for row in rows} == report["bridge"]
    assert {row["verdict"] for row in rows} == {"breaks"}


WRONG = [
    ("GET", "/sources/nowhere", 404, "source_not_found"),
    ("GET", "/sources/a%00b", 404, "source_not_found"),
    ("GET", "/sources/nowhere/report", 404, "source_not_found"),
    ("GET", "/sources/bank/report?on=2026-02-30", 422, "validation_error"),
    ("GET", "/sources/bank/report?on=0001-01-01", 422, "validation_error"),
    ("GET", "/sources/bank/report.csv?day=1", 422, "validation_error"),
    ("GET", "/sources/bank/breaks?class=odd", 422, "validation_error"),
    ("GET", "/sources/bank/breaks?age=3", 422, "validation_error"),
    ("GET", "/sources/bank/breaks?sort=name", 422, "validation_error"),
    ("GET", "/sources/bank/breaks?cursor=abc", 400, "invalid_cursor"),
    ("GET", "/sources/bank/breaks/abc", 404, "break_not_found"),
    ("GET", "/sources/bank/breaks/%00", 404, "break_not_found"),
    ("GET", "/sources/bank/lines?status=matched", 422, "validation_error"),
    ("GET", "/sources/bank/lines/0", 404, "line_not_found"),
    ("GET", "/sources/bank/lines/x", 404, "line_not_found"),
    ("GET", "/sources/bank/lines/99999999999999999999", 404, "line_not_found"),
    ("GET", "/sources/bank/entries?amount=NaN", 422, "validation_error"),
    ("GET", "/sources/bank/entries?cursor=abc", 400, "invalid_cursor"),
    ("GET", "/sources/bank/matches/999", 404, "match_not_found"),
    ("POST", "/sources/bank/matches/999/undo", 404, "match_not_found"),
    ("POST", "/sources/bank/lines/999/explain", 404, "line_not_found"),
    ("POST", "/sources/nowhere/lines/999/explain", 404, "source_not_found"),
]


@pytest.mark.parametrize(("method", "path", "status", "code"), WRONG)
async def test_an_invalid_request_names_its_fault(
    client: TestClientProtocol, sql: Sql, method: str, path: str, status: int, code: str
) -> None:
    await add_source(sql)
    sent = {"json": REASON} if method == "POST" else {}
    answer = await (client.post if method == "POST" else client.get)(path, **sent)
    assert (answer.status_code, (await answer.get_json())["code"]) == (status, code)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("matches", {"lines": [], "entries": ["1"], **REASON}, "lines"),
        ("matches", {"lines": ["x"], "entries": ["1"], **REASON}, "lines"),
        ("matches", {"lines": [1], "entries": ["1"], **REASON}, "lines.0"),
        ("matches", {"lines": ["1"], "entries": ["1"] * 101, **REASON}, "entries"),
        ("matches", {"lines": ["1"], "entries": ["1"], "actor": "ada"}, "reason"),
        ("matches", {"lines": ["1"], "entries": ["1"], "reason": "x"}, "actor"),
        ("lines/1/explain", {"reason": " ", "actor": "ada"}, "reason"),
        ("breaks/1/annotate", {"actor": "ada"}, "body"),
        ("breaks/1/annotate", {"actor": "ada", "note": "x" * 1001}, "note"),
    ],
)
async def test_a_rejected_action_changes_nothing(
    client: TestClientProtocol, sql: Sql, path: str, body: dict[str, Any], field: str
) -> None:
    await add_source(sql)
    answer = await client.post(f"/sources/bank/{path}", json=body)
    told = await answer.get_json()
    assert (answer.status_code, told["code"]) == (422, "validation_error")
    assert [error["field"] for error in told["errors"]] == [field]
    assert await sql.fetchval("SELECT count(*) FROM operator_actions") == 0


@pytest.fixture
async def headers_of(kept: Quart, database_url: str) -> dict[str, dict[str, str]]:
    """Return the headers of three keys: of two tenants, and of one that may only read."""
    owner = create_engine(database_url, application_name="test", pool_size=1)
    made = {}
    for name, tenant, scopes in (
        ("acme", "acme", {"recon:read", "recon:write", "payments:read"}),
        ("blue", "blue", {"recon:read", "recon:write"}),
        ("reader", None, {"recon:read"}),
    ):
        key = new_key()
        async with transaction(owner) as tx:
            await add_key(tx, key, KeyGrant(name, frozenset(scopes), tenant))
        made[name] = {"Authorization": f"Bearer {key}"}
    await owner.dispose()
    return made


async def test_a_tenant_acts_only_on_its_items_and_learns_no_count(
    kept: Quart, headers_of: dict[str, dict[str, str]], sql: Sql, engine: AsyncEngine
) -> None:
    client, acme, blue = kept.test_client(), headers_of["acme"], headers_of["blue"]
    await sql.execute("ALTER SEQUENCE statement_lines_id_seq RESTART 71717171")
    for tenant in ("acme", "blue"):
        source = await add_source(sql, tenant=tenant)
        await add_entries(sql, [Entry("5", "A", account=f"{tenant}~acc")])
        await add_statement(sql, source, [Line("5", "A"), Line("6", "A"), Line("7", "B")])
        await _run(engine, tenant=tenant)
    texts = []
    answers = {}
    for path in ("report", "runs", "breaks", "lines", "entries"):
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
    line = await _get(client, f"/sources/bank/lines/{lines[0]}")
    match = await _get(client, f"/sources/bank/matches/{line['matchId']}")
    path = f"/payments/{match['entries'][0]['paymentId']}"
    assert (await _get(client, path))["settlement"] == {
        "bookedOn": DAY.isoformat(),
        "matchedAt": match["createdAt"],
        "rule": "reference",
        "source": "bank",
        "statementFileId": line["statementFileId"],
        "lineId": line["id"],
        "matchId": match["id"],
    }
    other = (await _get(client, "/sources/bank/entries"))["entries"][0]
    assert (await _get(client, f"/payments/{other['paymentId']}"))["settlement"] is None
    await client.post(f"/sources/bank/matches/{match['id']}/undo", json=REASON)
    assert (await _get(client, path))["settlement"] is None


async def test_a_tenant_sees_that_the_bank_of_all_confirms_its_payment(
    kept: Quart, headers_of: dict[str, dict[str, str]], sql: Sql, engine: AsyncEngine
) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("5", "A", account="acme~acc")])
    await add_statement(sql, source, [Line("5", "A")])
    await _run(engine)
    payment = await sql.fetchval("SELECT id FROM payments")
    shown = await _get(kept.test_client(), f"/payments/{payment}", headers=headers_of["acme"])
    settlement = shown["settlement"]
    assert settlement.pop("matchedAt")
    assert (settlement.pop("bookedOn"), settlement.pop("rule")) == (DAY.isoformat(), "reference")
    assert set(settlement.values()) == {None}
