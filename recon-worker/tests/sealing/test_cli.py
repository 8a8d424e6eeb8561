"""`recon-worker audit --seal` and related options, as an operator uses them."""

import errno
import json
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.config import read_settings
from recon_worker.__main__ import main
from recon_worker.settings import WorkerSettings
from testkit.command_line import Answer, CommandLine
from testkit.database.ledgers.audit_command import audit_command
from testkit.database.ledgers.sealed import add_entries, rewrite_chain, seal_all
from testkit.database.ledgers.settled import break_ledger
from testkit.database.sql import Sql

KEY = b"k" * 32
Audit = Callable[..., Coroutine[Any, Any, Answer]]


@pytest.fixture
def audit(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    worker_url_of_database: str,
    tmp_path: Path,
) -> Audit:
    """`await audit("--seal", ...)`: exit status, stdout and stderr of the command."""
    command = CommandLine(monkeypatch, capsys, main, "audit", DATABASE_URL=worker_url_of_database)
    file = tmp_path / "seal-keys"

    async def run(*words: str, keys: tuple[bytes, ...] = ()) -> Answer:
        file.write_bytes(b"\n".join(keys))
        return await command(*words, **({"RECON_WORKER_SEAL_KEY_FILE": str(file)} if keys else {}))

    return run


@pytest.fixture
async def sealed(sql: Sql, engine: AsyncEngine) -> None:
    """Create three seals of four entries."""
    for _ in range(3):
        await add_entries(sql, 4)
        await seal_all(engine)


@pytest.mark.usefixtures("sealed")
async def test_the_command_exits_with_0_or_1(sql: Sql, worker_url_of_database: str) -> None:
    status, text = await audit_command(worker_url_of_database, "--seal")
    assert (status, text.splitlines()) == (
        0,
        [
            "3 seals of 12 entries and 0 results with their payments verified;"
            " everything is sealed",
            "the chain is intact",
        ],
    )
    await break_ledger(sql, "UPDATE ledger_entries SET amount = 99 WHERE id = 6")
    status, text = await audit_command(worker_url_of_database, "--seal")
    assert status == 1
    payment = await sql.fetchval("SELECT payment_id FROM ledger_entries WHERE id = 6")
    what = f"entry 6 of payment {payment} in seal 2: differs from its seal"
    assert text.splitlines()[0] == f"ALTERED         {what}"


@pytest.mark.usefixtures("sealed")
async def test_findings_are_available_as_json(sql: Sql, audit: Audit) -> None:
    await break_ledger(sql, "DELETE FROM ledger_entries WHERE id IN (11, 6)")
    await add_entries(sql, 2)
    status, text, _ = await audit("--seal", "--json")
    report = json.loads(text)
    assert status == 1
    assert report["findings"][0] == {
        "kind": "missing",
        "seal": 2,
        "entry_id": 6,
        "result_id": None,
        "payment_id": None,
        "detail": "was sealed and is missing",
    }
    assert (report["ok"], report["findings_total"], report["seals_verified"]) == (False, 2, 3)
    assert report["unsealed_entries_at_most"] == 2


@pytest.mark.usefixtures("sealed")
async def test_a_part_of_the_chain_can_be_verified(sql: Sql, audit: Audit) -> None:
    await break_ledger(sql, "UPDATE ledger_entries SET amount = 99 WHERE id = 1")
    assert (await audit("--seal"))[0] == 1
    status, text, _ = await audit("--seal", "--from", "2")
    assert (status, text.splitlines()[0][:22]) == (0, "2 seals of 8 entries a")
    status, _, complaint = await audit("--seal", "--from", "9")
    assert (status, complaint) == (2, "--from 9: there is no seal 8 to continue from\n")


async def head_line(audit: Audit, folder: Path) -> str:
    """Return the chain's head as a line."""
    assert (await audit("--export-head", str(folder / "head")))[0] == 0
    return (folder / "head").read_text()


@pytest.mark.usefixtures("sealed")
async def test_a_kept_head_is_verified_or_reported_missing(
    sql: Sql, engine: AsyncEngine, audit: Audit, tmp_path: Path
) -> None:
    kept = tmp_path / "heads.jsonl"
    assert (await audit("--export-head", str(kept)))[0] == 0
    head = json.loads(kept.read_text())
    assert (head["seq"], head["entry_id"], head["format_version"]) == (3, 12, 4)
    assert (await audit("--export-head", "-"))[1] == kept.read_text()

    (tmp_path / "report").write_text((await audit("--seal", "--json"))[1])
    assert (await audit("--check-head", str(tmp_path / "report")))[0] == 0

    await add_entries(sql, 2)
    await seal_all(engine)
    # As a log collector stores it: with other lines, and a prefix before the JSON.
    log = f'recon-worker-1 | {{"event": "ledger_sealed", {json.dumps(head)[1:]}\n{{"a": 1}}\nbye\n'
    kept.write_text(log)
    status, text, _ = await audit("--check-head", str(kept))
    assert (status, text) == (0, "1 kept head compared with the chain\nthe chain is intact\n")

    await rewrite_chain(sql, engine)
    assert (await audit("--seal"))[0] == 0
    status, text, _ = await audit("--seal", "--check-head", str(kept))
    assert status == 1
    assert text.startswith("HEAD_MISSING    seal 3: the chain ends at seal 1")


@pytest.mark.usefixtures("sealed")
async def test_a_log_of_heads_reveals_a_later_rewrite(
    sql: Sql, engine: AsyncEngine, audit: Audit, tmp_path: Path
) -> None:
    exported = [await head_line(audit, tmp_path)]
    await rewrite_chain(sql, engine)
    exported.append(await head_line(audit, tmp_path))
    await add_entries(sql, 2)
    await seal_all(engine)
    exported.append(await head_line(audit, tmp_path))
    await rewrite_chain(sql, engine)
    exported.append(await head_line(audit, tmp_path))
    first, other = exported[1], exported[3]
    assert json.loads(first)["seq"] == json.loads(other)["seq"] == 1
    log = tmp_path / "log"
    for lines in (exported, exported[::-1]):
        log.write_text("".join(lines))
        status, text, _ = await audit("--check-head", str(log))
        assert status == 1
        assert text.startswith("HEAD_REWRITTEN  seal 1: the chain was rewritten after seal 0")


@pytest.mark.usefixtures("sealed")
@pytest.mark.parametrize("option", ["--check-head", "--export-head"])
async def test_an_empty_file_name_skips_nothing(audit: Audit, option: str) -> None:
    status, text, why = await audit(option, "")
    assert (status, text) == (2, "")
    assert why.startswith(f"{option} ")


@pytest.mark.usefixtures("sealed")
async def test_a_head_that_cannot_be_written_leaves_the_one_before(
    audit: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await head_line(audit, tmp_path)
    (tmp_path / "head").chmod(0o640)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        status, _, why = await audit("--export-head", str(tmp_path / "head"))
    assert (status, "No space left" in why) == (2, True)
    assert await head_line(audit, tmp_path) == kept
    assert (tmp_path / "head").stat().st_mode & 0o777 == 0o640
    assert {entry.name for entry in os.scandir(tmp_path)} == {"head", "seal-keys"}


@pytest.mark.usefixtures("sealed")
async def test_a_head_is_written_into_a_pipe_and_through_a_link(
    audit: Audit, tmp_path: Path
) -> None:
    kept = await head_line(audit, tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert (await audit("--export-head", str(pipe)))[0] == 0
    assert os.read(reading, 65_536).decode() == kept
    os.close(reading)
    link, log = tmp_path / "link", tmp_path / "log"
    log.touch()
    link.symlink_to(log)
    assert (await audit("--export-head", str(link)))[0] == 0
    assert (link.is_symlink(), log.read_text()) == (True, kept)


@pytest.mark.usefixtures("sealed")
async def test_a_file_without_a_head_proves_nothing(audit: Audit, tmp_path: Path) -> None:
    file = tmp_path / "heads"
    for content, why in {
        "": "no line is a head",
        "hello": "no line is a head",
        '{"seq": 1, "seal_hash": "xyz"}': "not a head",
        '{"seq": "a", "seal_hash": "00"}': "not a head",
    }.items():
        file.write_text(content)
        status, _, complaint = await audit("--check-head", str(file))
        assert status == 2
        assert why in complaint
    file.write_bytes(b"\xff\xfe")
    assert (await audit("--check-head", str(file)))[0] == 2
    status, _, complaint = await audit("--check-head", str(tmp_path / "absent"))
    assert (status, "Errno" in complaint) == (2, False)
    assert complaint.endswith("absent: No such file or directory\n")
    assert (await audit("--export-head", str(tmp_path)))[0] == 2


async def test_an_empty_chain_proves_nothing(sql: Sql, audit: Audit) -> None:
    assert (await audit("--seal"))[0] == 0, "nothing is posted"
    assert (await audit("--export-head", "-"))[0] == 2
    await add_entries(sql, 2)
    status, _, complaint = await audit("--seal")
    assert (status, complaint.split(":")[0]) == (
        2,
        "nothing is sealed yet, up to 2 rows are unsealed",
    )


@pytest.mark.usefixtures("sealed")
async def test_a_finding_is_recorded_until_it_is_fully_verified_again(
    sql: Sql, audit: Audit, tmp_path: Path
) -> None:
    async def recorded() -> str | None:
        problem: str | None = await sql.fetchval("SELECT problem FROM seal_verification")
        return problem

    await break_ledger(sql, "UPDATE ledger_entries SET amount = amount + 1 WHERE id = 1")
    await audit("--seal")
    assert await recorded() == "altered"
    await break_ledger(sql, "UPDATE ledger_entries SET amount = amount - 1 WHERE id = 1")
    await audit("--seal", "--from", "2")
    assert await recorded() == "altered", "that verification did not cover the finding"
    await audit("--seal")
    assert await recorded() is None

    await sql.execute("UPDATE seal_verification SET problem = 'head_missing', problem_at = now()")
    await audit("--seal")
    assert await recorded() == "head_missing", "a truncated chain is valid in itself"
    await audit("--export-head", str(tmp_path / "head"))
    await audit("--seal", "--check-head", str(tmp_path / "head"))
    assert await recorded() is None


@pytest.mark.usefixtures("sealed")
async def test_a_head_is_signed_with_the_key_and_only_with_it(audit: Audit) -> None:
    assert (await audit("--sign-head"))[0] == 2
    status, text, _ = await audit("--seal", keys=(KEY,))
    assert status == 1
    assert text.startswith("SEAL_UNSIGNED   seal 3: ")
    status, text, _ = await audit("--sign-head", keys=(KEY,))
    assert (status, json.loads(text)["seq"]) == (0, 4)
    assert (await audit("--seal", keys=(KEY,)))[0] == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--from", "2"],
        ["--seal", "--from", "0"],
        ["--export-head", "-", "--json"],
        ["--export-head", "-", "--seal"],
        ["--sign-head", "--export-head", "-"],
        ["--full", "--check-head", "x"],
    ],
)
async def test_conflicting_options_are_rejected(audit: Audit, words: list[str]) -> None:
    status, text, error = await audit(*words)
    assert (status, text) == (2, "")
    assert "Error: " in error


def test_an_invalid_key_file_prevents_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys"
    monkeypatch.setenv("RECON_WORKER_SEAL_KEY_FILE", str(file))
    for content in ("", "short"):
        file.write_text(content)
        with pytest.raises(SystemExit):
            read_settings(WorkerSettings)
        complaint = capsys.readouterr().err
        assert complaint.startswith("RECON_WORKER_SEAL_KEY_FILE: ")
        assert "openssl rand -hex 32" in complaint
    file.write_text(f"{'n' * 32}\n{'o' * 64}\n")
    assert read_settings(WorkerSettings).seal_key_file == file
