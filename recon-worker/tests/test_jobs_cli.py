"""`recon-worker jobs` on a real database."""

import asyncio
import getpass
import json
import os
import pty
import sys

import pytest

from testkit.command_line import CommandLine
from testkit.database.backlog import add_payments, add_simple, status_counts, until_completed
from testkit.database.reversals import add_reversal
from testkit.database.sql import Sql
from testkit.worker.own_system import running_worker


@pytest.fixture
def jobs(program: CommandLine) -> CommandLine:
    """`await jobs("list", "--limit", "1")` → (exit status, standard output, standard error)."""
    return program.of("jobs")


async def _bury(sql: Sql, where: str = "true", error: str = "no luck") -> None:
    await sql.execute(
        f"UPDATE recon_jobs SET status = 'failed', last_error = $1 WHERE {where}", error
    )


async def test_list_shows_dead_letters_newest_first(sql: Sql, jobs: CommandLine) -> None:
    assert await jobs("list") == (0, "no dead letters\n", "")
    stored = await add_simple(sql, 3)
    await _bury(sql, "id > 1", "two\nlines")
    status, text, _ = await jobs("list")
    heading, newest, older = text.splitlines()
    assert status == 0
    assert heading.split() == ["ID", "PAYMENT", "TRIES", "UPDATED", "ERROR"]
    assert newest.split()[:3] == ["3", str(stored[2].id), "0/10"]
    assert older.endswith("two lines")
    assert newest.split()[4].endswith("Z"), "a time has its zone"
    assert str(stored[0].id) in (await jobs("list", "--status", "pending"))[1]


async def test_a_list_continues_at_its_cursor(sql: Sql, jobs: CommandLine) -> None:
    await add_simple(sql, 5)
    await _bury(sql)
    seen: list[int] = []
    cursor: tuple[str, ...] = ()
    while True:
        status, text, note = await jobs("list", "--json", "--limit", "2", *cursor)
        assert status == 0
        seen += [json.loads(line)["id"] for line in text.splitlines()]
        if not note:
            break
        cursor = tuple(note.split()[-2:])
        assert cursor[0] == "--before"
    assert seen == [5, 4, 3, 2, 1]


async def test_show_prints_every_field_of_a_job(sql: Sql, jobs: CommandLine) -> None:
    [payment] = await add_simple(sql, 1)
    status, text, _ = await jobs("show", "1")
    assert status == 0
    shown = json.loads(text)
    assert (shown["id"], shown["payment_id"], shown["status"]) == (1, str(payment.id), "pending")


async def test_replay_of_one_dead_letter(sql: Sql, jobs: CommandLine, where: str) -> None:
    await add_simple(sql, 2)
    await _bury(sql)
    assert await jobs("replay", "2", "--actor", "ann") == (0, f"replayed job 2 in {where}\n", "")
    assert await status_counts(sql) == {"failed": 1, "pending": 1}
    assert await sql.fetchval("SELECT actor FROM operator_actions") == "ann"


async def test_a_bulk_replay_and_its_dry_run(sql: Sql, jobs: CommandLine, where: str) -> None:
    await add_payments(sql, [("a", "1", "USD"), ("b", "1", "USD"), ("a", "1", "USD")])
    await _bury(sql)
    of_a = ("replay", "--all", "--account", "a")
    assert (await jobs(*of_a, "--dry-run"))[1] == f"would replay 2 dead letters in {where}\n"
    assert json.loads((await jobs(*of_a, "--dry-run", "--json"))[1]) == {"would_replay": 2}
    assert await status_counts(sql) == {"failed": 3}
    assert (await jobs(*of_a, "--yes", "--limit", "1"))[1] == f"replayed 1 dead letter in {where}\n"
    _, text, _ = await jobs("replay", "--all", "--yes", "--error-contains", "luck", "--json")
    assert json.loads(text) == {"replayed": [2, 3]}
    assert (await jobs("replay", "--all", "--yes"))[1] == f"replayed 0 dead letters in {where}\n"


async def test_a_bulk_replay_without_a_terminal_needs_yes(sql: Sql, jobs: CommandLine) -> None:
    await add_simple(sql, 2)
    await _bury(sql)
    status, _, error = await jobs("replay", "--all")
    assert status == 2
    assert "Add --yes" in error
    assert await status_counts(sql) == {"failed": 2}


@pytest.mark.parametrize(("answer", "left"), [("y\n", {"pending": 2}), ("n\n", {"failed": 2})])
async def test_a_bulk_replay_asks_for_confirmation_with_count_and_database(
    sql: Sql, worker_url_of_database: str, where: str, answer: str, left: dict[str, int]
) -> None:
    await add_simple(sql, 2)
    await _bury(sql)
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "recon_worker", "jobs", "replay", "--all"),
        env={"DATABASE_URL": worker_url_of_database},
        stdin=theirs,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await process.communicate()
    os.close(ours)
    os.close(theirs)
    assert f"Replay 2 dead letters in {where}? [y/N]" in error.decode()
    assert process.returncode == (0 if answer == "y\n" else 1)
    assert ("nothing was changed" in error.decode()) == (answer == "n\n")
    assert await status_counts(sql) == left


async def test_discard_fails_the_payment(sql: Sql, jobs: CommandLine, where: str) -> None:
    await add_simple(sql, 1)
    await _bury(sql)
    status, text, _ = await jobs("discard", "1", "--reason", "a duplicate", "--actor", "ann")
    assert (status, text) == (0, f"discarded job 1 in {where}; its payment failed\n")
    notes = await sql.fetchval("SELECT notes FROM reconciliation_results")
    assert notes == "Discarded by ann: a duplicate"


async def test_a_reversal_is_discarded_by_the_api_alone(
    sql: Sql, jobs: CommandLine, worker_url_of_database: str, where: str
) -> None:
    (payment,) = await add_simple(sql, 1)
    async with running_worker(worker_url_of_database):
        await until_completed(sql, 1)
    await add_reversal(sql, payment, "1")  # No worker may claim its job.
    await _bury(sql, "reversal_id IS NOT NULL")
    status, text, problem = await jobs("discard", "2", "--reason", "x", "--actor", "ann")
    assert (status, text) == (1, "")
    assert "Only the API's role fails a reversal" in problem
    assert problem.endswith(f"POST /jobs/{{id}}/discard ({where})\n")
    assert await status_counts(sql) == {"completed": 1, "failed": 1}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("show", "7"), "No job has that id"),
        (("replay", "7"), "No job has that id"),
        (("discard", "7", "--reason", "x"), "No job has that id"),
        (("replay", "1"), "it is pending"),
        (("discard", "1", "--reason", "x"), "it is pending"),
    ],
)
async def test_a_rejected_command_prints_one_line_and_exits_with_1(
    sql: Sql, jobs: CommandLine, words: tuple[str, ...], says: str
) -> None:
    await add_simple(sql, 1)
    status, text, error = await jobs(*words)
    assert (status, text) == (1, "")
    assert says in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("replay",),
        ("replay", "1", "--all"),
        ("list", "--before", "0"),
        ("show", "0"),
        ("show", "-1"),
        ("show", "9223372036854775808"),
        ("show", "٣"),
        ("show", "one"),
        ("list", "--limit", "0"),
        ("list", "--limit", "1001"),
        ("list", "--status", "dead"),
        ("replay", "--all", "--limit", "-1"),
        ("replay", "1", "--actor", ""),
        ("replay", "1", "--actor", "x" * 201),
        ("discard", "1"),
        ("discard", "1", "--reason", ""),
        ("discard", "1", "--reason", "x" * 1001),
        ("discard", "1", "--reason", "\udcff"),
    ],
)
async def test_bad_arguments_never_reach_the_database(
    jobs: CommandLine, words: tuple[str, ...]
) -> None:
    nowhere = "postgresql://postgres@127.0.0.1:1/payments"
    status, _, error = await jobs(*words, DATABASE_URL=nowhere)
    assert status == 2
    assert "Error: " in error
    assert "the database" not in error


async def test_a_user_without_a_passwd_entry_can_run_every_command(
    sql: Sql, jobs: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 10001")

    monkeypatch.setattr(getpass, "getuser", nobody)
    await add_simple(sql, 1)
    await _bury(sql)
    assert (await jobs("replay", "1"))[0] == 0
    assert str(await sql.fetchval("SELECT actor FROM operator_actions")).startswith("uid ")


async def test_an_unreachable_database_is_one_line_and_status_2() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "recon_worker", "jobs", "list"),
        env={"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nowhere"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await process.communicate()
    assert process.returncode == 2
    assert error.decode().startswith("the database does not answer: ")
    assert error.count(b"\n") == 1
