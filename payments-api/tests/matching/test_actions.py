"""Decisions on matches over HTTP: done once, on record, or rejected and without effect."""

from typing import Any

import pytest
from quart.typing import TestClientProtocol

from testkit.database.matching_books import (
    DAY,
    add_source,
)
from testkit.database.sql import Sql

from .conftest import AS_OF, REASON, get_ok


async def test_all_breaks_of_a_day_are_resolved_over_http(
    client: TestClientProtocol, books: tuple[list[int], list[int]]
) -> None:
    entries, lines = books
    report = await get_ok(client, f"/sources/bank/report?asOf={AS_OF}")
    assert (report["verdict"], report["on"], report["bridge"]["residual"]) == (
        *("breaks", DAY.isoformat(), "0.00"),
    )
    listed = (await get_ok(client, f"/sources/bank/breaks?asOf={AS_OF}"))["breaks"]
    found = {(each["side"], each["itemId"]): each for each in listed}
    typo = found["line", str(lines[1])]
    assert typo["whyNot"] == "no entry has this reference; 1 entry has this amount"
    assert [one["id"] for one in typo["candidates"]] == [str(entries[1])]
    assert (typo["age"], typo["ageDays"], typo["currency"]) == ("8-30", 10, "EUR")

    one = {"lines": [str(lines[1])], "entries": [str(entries[1])], **REASON}
    answer = await client.post("/sources/bank/matches", json=one)
    made = await answer.get_json()
    assert (answer.status_code, made["rule"], made["actor"], made["amount"]) == (
        *(201, "manual", "ada", "7.00"),
    )
    assert (await get_ok(client, answer.headers["Location"])) == made
    shown = await get_ok(client, f"/sources/bank/lines/{lines[1]}")
    assert (shown["status"], shown["matchId"], shown["candidates"]) == ("matched", made["id"], [])
    settled = await get_ok(client, f"/sources/bank/breaks/{typo['id']}")
    assert (settled["resolvedBy"], settled["candidates"]) == ("ada", [])

    uneven = {"lines": [str(lines[2])], "entries": [str(entries[2])], **REASON}
    answer = await client.post("/sources/bank/matches", json=uneven)
    told = await answer.get_json()
    assert (answer.status_code, told["code"]) == (409, "match_refused")
    assert told["detail"] == "The lines sum to 11.00, the entries to 5.00."
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
    report = await get_ok(client, f"/sources/bank/report?asOf={AS_OF}")
    assert report["verdict"] == "reconciled"
    assert (await get_ok(client, "/sources/bank/breaks"))["breaks"] == []
    acts = (await get_ok(client, "/operator-actions"))["actions"]
    assert [(act["action"], act["actor"]) for act in acts] == [
        *(("explain", "ada"), ("match", "ada"), ("match", "ada")),
    ]


async def test_an_undone_match_and_a_reopened_line_are_open_again(
    client: TestClientProtocol, books: tuple[list[int], list[int]]
) -> None:
    entries, lines = books
    by_rule = (await get_ok(client, f"/sources/bank/lines/{lines[0]}"))["matchId"]
    match = await get_ok(client, f"/sources/bank/matches/{by_rule}")
    assert (match["rule"], match["why"], match["runId"]) == ("reference", "end_to_end A", "1")
    assert [entry["id"] for entry in match["entries"]] == [str(entries[0])]
    undo = f"/sources/bank/matches/{by_rule}/undo"
    answer = await client.post(undo, json=REASON)
    assert (await answer.get_json())["undoneBy"] == "ada"
    again = await client.post(undo, json=REASON)
    assert (again.status_code, (await again.get_json())["detail"]) == (
        *(409, f"Match {by_rule} has been undone by ada."),
    )
    shown = await get_ok(client, f"/sources/bank/lines/{lines[0]}")
    assert (shown["status"], shown["matchId"]) == ("unmatched", None)
    assert shown["whyNot"] == f"match {by_rule} was undone"
    line = f"/sources/bank/lines/{lines[3]}"
    assert (await client.post(f"{line}/ignore", json=REASON)).status_code == 200
    answer = await client.post(f"{line}/reopen", json=REASON)
    assert (await answer.get_json())["status"] == "unmatched"


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
