"""`recon-worker jobs`, as an operator types it, on a real database."""

import asyncio
import getpass
import json
import sys
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from recon_worker import __main__ as command_line
from recon_worker import jobs_cli
from testkit.database.backlog import Sql, add_payments, add_simple, status_counts

Jobs = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def jobs(engine: AsyncEngine, capsys: pytest.CaptureFixture[str]) -> Jobs:
    """`await jobs("list", "--limit", "1")` → (exit status, standard output, standard error)."""

    async def run(*words: str) -> tuple[int, str, str]:
        arguments = command_line._parser().parse_args(["jobs", *words])
        status = await jobs_cli.run(engine, arguments)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


async def _bury(sql: Sql, where: str = "true", error: str = "no luck") -> None:
    await sql.execute(
        f"UPDATE recon_jobs SET status = 'failed', last_error = $1 WHERE {where}", error
    )


async def test_list_shows_dead_letters_newest_first(sql: Sql, jobs: Jobs) -> None:
    assert await jobs("list") == (0, "no such jobs\n", "")
    stored = await add_simple(sql, 3)
    await _bury(sql, "id > 1", "two\nlines")
    status, text, _ = await jobs("list")
    heading, newest, older = text.splitlines()
    assert status == 0
    assert heading.split() == ["ID", "PAYMENT", "TRIES", "UPDATED", "ERROR"]
    assert newest.split()[:3] == ["3", str(stored[2].id), "0/10"]
    assert older.endswith("two lines")
    assert len((await jobs("list", "--limit", "1"))[1].splitlines()) == 2
    assert str(stored[0].id) in (await jobs("list", "--status", "pending"))[1]


async def test_show_prints_a_job_whole(sql: Sql, jobs: Jobs) -> None:
    [payment] = await add_simple(sql, 1)
    status, text, _ = await jobs("show", "1")
    assert status == 0
    shown = json.loads(text)
    assert (shown["id"], shown["payment_id"], shown["status"]) == (1, str(payment.id), "pending")


async def test_replay_of_one_dead_letter(sql: Sql, jobs: Jobs) -> None:
    await add_simple(sql, 2)
    await _bury(sql)
    assert await jobs("replay", "2", "--actor", "ann") == (0, "replayed job 2\n", "")
    assert await status_counts(sql) == {"failed": 1, "pending": 1}
    assert await sql.fetchval("SELECT actor FROM operator_actions") == "ann"


async def test_replay_of_all_that_match_and_how_many_that_would_be(sql: Sql, jobs: Jobs) -> None:
    await add_payments(sql, [("a", "1", "USD"), ("b", "1", "USD"), ("a", "1", "USD")])
    await _bury(sql)
    assert (await jobs("replay", "--all", "--account", "a", "--dry-run"))[1] == "would replay 2\n"
    assert await status_counts(sql) == {"failed": 3}
    assert (await jobs("replay", "--all", "--account", "a", "--limit", "1"))[1] == "replayed 1\n"
    assert (await jobs("replay", "--all", "--error-contains", "luck"))[1] == "replayed 2\n"
    assert (await jobs("replay", "--all"))[1] == "replayed 0\n"


async def test_discard_fails_the_payment(sql: Sql, jobs: Jobs) -> None:
    await add_simple(sql, 1)
    await _bury(sql)
    status, text, _ = await jobs("discard", "1", "--reason", "a duplicate", "--actor", "ann")
    assert (status, text) == (0, "discarded job 1; its payment failed\n")
    notes = await sql.fetchval("SELECT notes FROM reconciliation_results")
    assert notes == "Discarded by ann: a duplicate"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("show", "7"), "No job has that id"),
        (("replay", "7"), "No job has that id"),
        (("discard", "7", "--reason", "x"), "No job has that id"),
        (("replay", "1"), "it is pending"),
        (("discard", "1", "--reason", "x"), "it is pending"),
        (("replay",), "name one job's id, or --all"),
        (("replay", "1", "--all"), "name one job's id, or --all"),
    ],
)
async def test_what_cannot_be_done_is_one_line_and_status_1(
    sql: Sql, jobs: Jobs, words: tuple[str, ...], says: str
) -> None:
    await add_simple(sql, 1)
    status, text, error = await jobs(*words)
    assert (status, text) == (1, "")
    assert says in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
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
    jobs: Jobs, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        await jobs(*words)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_a_user_without_a_name_can_run_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 10001")

    monkeypatch.setattr(getpass, "getuser", nobody)
    arguments = command_line._parser().parse_args(["jobs", "replay", "1"])
    assert arguments.actor.startswith("uid ")
    assert command_line._parser().parse_args(["run"]).command == "run"


async def test_a_database_that_does_not_answer_is_one_line_and_status_2() -> None:
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
