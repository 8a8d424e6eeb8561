"""`recon-worker reconcile`: what each command prints, and its exit status."""

import json
from pathlib import Path

import pytest

from recon_worker.__main__ import main
from testkit.command_line import CommandLine
from testkit.database.matching_books import (
    Entry,
    Line,
    add_entries,
    add_source,
    add_statement,
    state_of,
)
from testkit.database.sql import Sql

DAYS = ("--as-of", "2026-03-12")


@pytest.fixture
def reconcile(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    worker_url_of_database: str,
) -> CommandLine:
    """`await reconcile("run", "bank")`: exit status, standard output and error."""
    return CommandLine(monkeypatch, capsys, main, "reconcile", DATABASE_URL=worker_url_of_database)


async def test_a_day_is_worked_off_by_commands(
    sql: Sql, reconcile: CommandLine, where: str
) -> None:
    source = await add_source(sql)
    entries = await add_entries(
        sql, [Entry("10", "A"), Entry("7", "B"), Entry("5", "C"), Entry("6", "C2")]
    )
    lines = await add_statement(
        sql, source, [Line("10", "A"), Line("7", "typo"), Line("11", "both"), Line("-1.20")]
    )
    status, text, _ = await reconcile("run", "bank", *DAYS)
    assert (status, text.splitlines()) == (
        0,
        [
            "run 1: 1 by reference",
            "open: 3 lines (0 suggested), 3 entries; 6 breaks",
            "verdict 2026-03-02: breaks, residual 0.00",
        ],
    )
    assert (await reconcile("report", "bank", *DAYS))[0] == 1
    status, text, _ = await reconcile("breaks", "bank", "--class", "bank_only", "--json", *DAYS)
    found = {each["itemId"]: each for each in map(json.loads, text.splitlines())}
    assert found[lines[1]]["whyNot"] == "no entry has this reference; 1 entry has this amount"
    assert found[lines[1]]["candidates"][0]["id"] == entries[1]
    assert (found[lines[3]]["age"], found[lines[3]]["ageDays"]) == ("8-30", 10)

    by_hand = ("--reason", "a typo", "--actor", "ann")
    said = await reconcile("match", "bank", f"--line={lines[1]}", f"--entry={entries[1]}", *by_hand)
    assert said == (0, f"match 2: 1 line with 1 entry, in {where}\n", "")
    wrong = await reconcile(
        "match", "bank", f"--line={lines[2]}", f"--entry={entries[2]}", *by_hand
    )
    assert (wrong[0], "the lines sum to 11.00, the entries to 5.00" in wrong[2]) == (1, True)
    both = (f"--entry={entries[2]}", f"--entry={entries[3]}")
    assert (await reconcile("match", "bank", f"--line={lines[2]}", *both, *by_hand))[0] == 0
    said = await reconcile("explain", "bank", str(lines[3]), "--reason", "fee")
    assert said == (0, f"line {lines[3]} is explained in {where}\n", "")
    assert (await reconcile("ignore", "bank", str(lines[3]), "--reason", "fee"))[0] == 1

    status, text, _ = await reconcile("report", "bank", *DAYS)
    assert status == 0
    assert [line.split()[-1] for line in text.splitlines() if "our balance" in line] == ["28.00"]
    assert text.splitlines()[-1] == "verdict: reconciled"
    assert (await reconcile("breaks", "bank", *DAYS))[1] == "no breaks\n"
    again = await reconcile("run", "bank", *DAYS)
    assert "nothing new" in again[1] or "no new match" in again[1]


async def test_undo_restores_and_reopen_opens(sql: Sql, reconcile: CommandLine, where: str) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "A")])
    lines = await add_statement(sql, source, [Line("10", "A"), Line("-1")])
    await reconcile("run", "bank", "--as-of", "2026-03-03")
    await reconcile("explain", "bank", str(lines[1]), "--reason", "fee")
    await reconcile("reopen", "bank", str(lines[1]), "--reason", "not this fee")
    undo = ("undo", "bank", "--run", "1", "--reason", "a test")
    status, _, error = await reconcile(*undo)
    assert (status, f"Undo 1 match of run 1 in {where}? Add --yes" in error) == (2, True)
    assert await reconcile(*undo, "--yes") == (0, f"undid 1 match in {where}\n", "")
    state = await state_of(sql)
    assert [row[1:] for row in state["lines"]] == [("unmatched", None), ("unmatched", None)]
    assert len(state["entries"]) == 1
    acts = await sql.fetch("SELECT action, subject FROM operator_actions ORDER BY id")
    assert [tuple(row) for row in acts] == [
        ("explain", f"line {lines[1]}"),
        ("reopen", f"line {lines[1]}"),
        ("undo_run", "run 1"),
    ]


async def test_matches_and_resolved_breaks_are_listed_with_a_way_to_go_on(
    sql: Sql, reconcile: CommandLine
) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "A"), Entry("11", "B")])
    lines = await add_statement(sql, source, [Line("10", "A"), Line("11", "B"), Line("-1")])
    assert (await reconcile("matches", "bank"))[:2] == (0, "no active matches\n")
    assert (await reconcile("resolved", "bank"))[:2] == (0, "no resolved breaks\n")
    await reconcile("run", "bank", *DAYS)
    await reconcile("explain", "bank", str(lines[2]), "--reason", "fee", "--actor", "ann")
    status, text, more = await reconcile("matches", "bank", "--limit", "1", "--json")
    (newest,) = map(json.loads, text.splitlines())
    assert (status, newest["rule"], newest["amount"], newest["runId"]) == (
        0,
        "reference",
        "11.00",
        1,
    )
    assert f"--after {newest['id']}" in more
    _, text, more = await reconcile("matches", "bank", "--after", str(newest["id"]))
    assert ("end_to_end A" in text, "end_to_end B" in text, more) == (True, False, "")
    _, text, _ = await reconcile("resolved", "bank", "--json")
    (one,) = map(json.loads, text.splitlines())
    assert (one["itemId"], one["resolvedBy"], one["class"]) == (lines[2], "ann", "bank_only")
    _, text, _ = await reconcile("resolved", "bank", "--after", one["id"])
    assert text == "no resolved breaks\n"


async def test_adjustments_are_listed_with_a_way_to_go_on(sql: Sql, reconcile: CommandLine) -> None:
    source = await add_source(sql)
    lines = await add_statement(sql, source, [Line("-1"), Line("-2")])
    for line in lines:
        why = (f"--line={line}", "--kind=fee", "--reason=monthly", "--actor=ann")
        assert (await reconcile("propose", "bank", *why))[0] == 0
    _, text, more = await reconcile("adjustments", "bank", "--limit", "1", "--json")
    newest = json.loads(text)
    assert (newest["line_id"], more) == (lines[1], f"There are more: add --after {newest['id']}\n")
    after = ("--after", newest["id"], "--limit", "1", "--json")
    _, text, more = await reconcile("adjustments", "bank", *after)
    assert (json.loads(text)["line_id"], more) == (lines[0], "")


async def test_a_break_has_an_assignee_and_a_note(sql: Sql, reconcile: CommandLine) -> None:
    await add_source(sql)
    await add_entries(sql, [Entry("10", "A"), Entry("10", "A")])
    await reconcile("run", "bank", *DAYS)
    _, text, more = await reconcile("breaks", "bank", "--limit", "1", "--json", *DAYS)
    found = json.loads(text)
    assert more == f"There are more: add --after {found['id']}\n"
    after = ("--after", found["id"], "--limit", "1", "--json")
    _, text, more = await reconcile("breaks", "bank", *after, *DAYS)
    assert (json.loads(text)["id"] == found["id"], more) == (False, "")
    said = await reconcile("annotate", "bank", found["id"], "--assign", "ann", "--note", "asked")
    assert said[0] == 0
    _, text, _ = await reconcile("breaks", "bank", "--assignee", "ann", "--json", *DAYS)
    again = json.loads(text)
    assert (again["id"], again["assignee"], again["note"]) == (found["id"], "ann", "asked")
    assert (await reconcile("annotate", "bank", "0" * 64, "--note", "x"))[0] == 1
    assert (await reconcile("breaks", "bank", "--age", ">30", *DAYS))[1] == "no breaks\n"
    assert len((await reconcile("breaks", "bank", "--age", "8-30", *DAYS))[1].splitlines()) == 3


async def test_rules_are_shown_taken_and_refused(
    sql: Sql, reconcile: CommandLine, tmp_path: Path
) -> None:
    await add_source(sql)
    path = tmp_path / "rules.json"
    path.write_text('{"rules": [{"rule": "reference"}]}')
    assert json.loads((await reconcile("rules", "bank"))[1])["version"] == 1
    taken = json.loads((await reconcile("rules", "bank", "--take", str(path)))[1])
    assert (taken["version"], taken["rules"]) == (2, [{"rule": "reference"}])
    for wrong, problem in (
        ("[]", "rules are an object"),
        ('{"rules": [{"rule": "guess"}]}', "a rule is one of"),
        ('{"rules": [{"rule": "batch_sum"}, {"rule": "reference"}]}', "in the order"),
        ('{"rules": [{"rule": "amount_and_date", "days": 99}]}', "days must be a number"),
        ('{"rules": [{"rule": "tolerance", "amount": "-1"}]}', "must not be negative"),
        ('{"rules": [{"rule": "reference", "days": 1}]}', "has no 'days'"),
        ("{", "not JSON"),
    ):
        path.write_text(wrong)
        status, _, error = await reconcile("rules", "bank", "--take", str(path))
        assert (status, problem in error) == (1, True), error
    path.write_bytes(b"\xff")
    status, _, error = await reconcile("rules", "bank", "--take", str(path))
    assert (status, error.count("\n")) == (2, 1)
    assert error.startswith(f"Error: {path}: is not a text in UTF-8. See ")


async def test_an_unknown_source_is_one_line_and_status_1(sql: Sql, reconcile: CommandLine) -> None:
    for words in (("run", "none"), ("report", "none"), ("breaks", "none")):
        status, text, error = await reconcile(*words)
        assert (status, text, len(error.splitlines())) == (1, "", 1)
