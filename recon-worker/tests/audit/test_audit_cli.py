"""`recon-worker audit`: the report of the invariants, as text, as JSON and while it runs."""

import asyncio
import json
import os
import pty
import sys

import pytest

from testkit.command_line import CommandLine
from testkit.database.ledgers.settled import break_ledger
from testkit.database.sql import Sql
from testkit.terminal import read_all


@pytest.fixture
def audit(program: CommandLine) -> CommandLine:
    """`await audit("--full")`: exit status, standard output and error."""
    return program.of("audit")


@pytest.mark.usefixtures("settled")
async def test_the_json_report_names_each_invariant_and_its_offenders(
    sql: Sql, audit: CommandLine
) -> None:
    status, text, error = await audit("--full", "--json")
    report = json.loads(text)
    assert (status, report["ok"], error) == (0, True, "")
    assert all(each["offending"] == 0 for each in report["invariants"])
    await break_ledger(sql, "UPDATE ledger_entries SET amount = 99 WHERE id = 1")
    status, text, _ = await audit("--full", "--json")
    report = json.loads(text)
    broken = {each["name"]: each["offenders"] for each in report["invariants"] if each["offending"]}
    assert (status, report["ok"]) == (1, False)
    assert broken["running_balance_adds_up"][0]["id"] == 1


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(("words", "unit"), [(("--full",), "rows/s"), (("--seal",), "seals/s")])
async def test_a_terminal_shows_the_progress_of_an_audit(
    worker_url_of_database: str, words: tuple[str, ...], unit: str
) -> None:
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "recon_worker", "audit", *words),
        env={"DATABASE_URL": worker_url_of_database, "TERM": "xterm"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    await process.wait()
    assert unit in read_all(ours)
