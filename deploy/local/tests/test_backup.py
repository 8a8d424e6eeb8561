"""Backups: consistent under load, refused when damaged, and checked before they replace data."""

import asyncio
import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from payments_api.migrate import migrate
from payments_local.backup import archive
from payments_local.backup.create import create
from payments_local.backup.drill import drill, span_text
from payments_local.backup.errors import BackupFailed
from payments_local.backup.server import Database, exported_head
from payments_local.postgres import EmbeddedPostgres
from payments_local.settings import REPOSITORY
from testkit.database.backlog import add_simple
from testkit.database.ledgers.settled import break_ledger
from testkit.worker.own_system import running_worker, worker_url

from .conftest import PAYMENTS, settle_payments


def _command(
    *words: str, before: Callable[[], None] | None = None, **environ: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "payments_local", *words],
        env={**os.environ, **environ},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=before,
        check=False,
    )


def _on_a_full_disk(*words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    # Python 3.11 does not notice that bytecode is cut short, and later programs would read it.
    return _command(*words, before=limit, PYTHONDONTWRITEBYTECODE="1", **environ)


def test_a_drill_verifies_the_backup_and_prints_its_figures(made: Path) -> None:
    done = _command("drill", str(made))
    assert done.returncode == 0, done.stderr
    assert f"{PAYMENTS} payments and {2 * PAYMENTS} ledger entries" in done.stdout
    assert "every invariant holds, the seal's head is in its chain" in done.stdout
    assert re.search(r"A restore now would lose the last \d+ (s|min)\.", done.stdout)


def test_a_backups_age_is_told_in_a_unit_that_fits() -> None:
    seconds = (0.4, 119, 120, 3600, 7200, 30_000, 172_800)
    texts = [span_text(timedelta(seconds=each)) for each in seconds]
    assert texts == ["0 s", "119 s", "2 min", "60 min", "2.0 h", "8.3 h", "2.0 days"]


def test_only_its_owner_can_read_a_backup(settled: EmbeddedPostgres, tmp_path: Path) -> None:
    dump = create(Database(settled.url), tmp_path / "new", keep=1).dump
    modes = {oct(path.stat().st_mode & 0o777) for path in (dump, archive.manifest_of(dump))}
    assert modes == {"0o600"}
    assert dump.parent.stat().st_mode & 0o777 == 0o700


def test_a_backup_records_when_it_began(server: EmbeddedPostgres, tmp_path: Path) -> None:
    database = Database(server.url)
    recorded = (
        "SELECT to_char(taken_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') FROM last_backup"
    )
    assert database.sql(recorded).strip() == ""
    manifest = create(database, tmp_path, keep=1).manifest
    assert database.sql(recorded).strip() == manifest.created_at[:19].replace("T", " ")


def test_a_database_of_an_earlier_release_can_be_backed_up(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    """It has no table for the backup's time, and an upgrade begins with a backup."""
    asyncio.run(migrate(server.url, "0018"))
    assert create(Database(server.url), tmp_path, keep=1).manifest.schema_revision == "0018"


def test_the_oldest_backups_are_deleted(settled: EmbeddedPostgres, tmp_path: Path) -> None:
    (tmp_path / "payments-notes.dump.txt").write_text("mine")
    made = [create(Database(settled.url), tmp_path, keep=2).dump for _ in range(3)]
    oldest, *kept = sorted(made)  # By their names: of one second, by a random suffix.
    assert archive.complete_backups(tmp_path) == kept
    assert (tmp_path / "payments-notes.dump.txt").exists()
    assert not oldest.exists()


async def test_a_backup_under_load_is_a_consistent_cut(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    sql = await asyncpg.connect(server.url)
    async with running_worker(worker_url(server)):
        await add_simple(sql, 500)

        async def pay() -> None:
            while True:
                await add_simple(sql, 20)

        paying = asyncio.create_task(pay())
        backup = await asyncio.to_thread(create, Database(server.url), tmp_path, keep=1)
        paying.cancel()
        with suppress(asyncio.CancelledError):
            await paying
    await sql.close()
    restored = (await asyncio.to_thread(drill, backup.dump)).restored
    assert restored.payments >= 500


async def test_a_drill_names_the_invariant_that_the_books_break(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    await settle_payments(server)
    sql = await asyncpg.connect(server.url)
    await break_ledger(sql, "UPDATE accounts SET balance = balance + 1, credits = credits + 1")
    await sql.close()
    dump = (await asyncio.to_thread(create, Database(server.url), tmp_path, keep=1)).dump
    done = await asyncio.to_thread(_command, "drill", str(dump))
    assert done.returncode == 1
    assert "head_row_is_the_last_entry" in done.stderr


def test_a_full_disk_leaves_no_backup(settled: EmbeddedPostgres, tmp_path: Path) -> None:
    done = _on_a_full_disk("backup", "--folder", str(tmp_path / "full"), DATABASE_URL=settled.url)
    assert done.returncode == 2
    assert "no backup was made" in done.stderr
    assert list((tmp_path / "full").iterdir()) == []


def test_a_drill_whose_server_cannot_start_says_nothing_of_the_books(made: Path) -> None:
    done = _on_a_full_disk("drill", str(made))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: initdb failed: ")
    assert len(done.stderr.splitlines()) == 1


def test_an_invalid_setting_is_no_verdict_on_the_books(tmp_path: Path) -> None:
    done = _command("backup", "--folder", str(tmp_path), PG_PORT="none")
    assert done.returncode == 2
    assert done.stderr == "error: PG_PORT='none' is not a port: give a number from 1 to 65535\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["drill", "--folder", "{empty}"], "holds no backup: run make backup"),
        (["restore", "--folder", "{empty}"], "holds no backup"),
        (["drill", "{empty}/no.dump"], "no.dump' does not exist"),
        (["drill", ""], "is a directory"),
        (["backup", "--folder", "/proc/none"], "cannot be made"),
        (["backup", "--folder", "{empty}", "--encrypt-to", "age1nonsense"], "age"),
    ],
)
def test_a_command_that_cannot_run_prints_one_line_and_exits_with_2(
    settled: EmbeddedPostgres, tmp_path: Path, words: list[str], message: str
) -> None:
    given = [word.format(empty=tmp_path) for word in words]
    done = _command(*given, DATABASE_URL=settled.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_under_the_output_keeps_the_backup(
    settled: EmbeddedPostgres, tmp_path: Path
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "payments_local", "backup", "--folder", str(tmp_path)],
            env={**os.environ, "DATABASE_URL": settled.url},
            cwd=REPOSITORY,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    words = "the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, words)
    archive.read_manifest(archive.newest(tmp_path))


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_backup_that_gets_no_manifest_is_deleted(
    settled: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(dump: Path, manifest: archive.Manifest) -> None:
        assert dump.stat().st_size
        raise error

    monkeypatch.setattr(archive, "write_manifest", fail)
    with pytest.raises((BackupFailed, KeyboardInterrupt)):
        create(Database(settled.url), tmp_path, keep=7)
    assert list(tmp_path.iterdir()) == []


def test_a_backup_is_complete_although_an_old_one_cannot_be_deleted(
    settled: EmbeddedPostgres, tmp_path: Path
) -> None:
    obstacle = tmp_path / "payments-x.dump.partial"
    obstacle.mkdir()
    os.utime(obstacle, (0, 0))
    with pytest.raises(BackupFailed, match=r"complete, but .*dump\.partial cannot be deleted"):
        create(Database(settled.url), tmp_path, keep=7)
    archive.read_manifest(archive.newest(tmp_path))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("server_version", "eighteen", "server_version"),
        ("created_at", None, "created_at"),
        ("created_at", "yesterday", "yesterday"),
        ("created_at", "2026-11-30T08:00:00", "no time zone"),
    ],
)
def test_a_manifest_that_says_nonsense_is_refused(
    copy: Path, name: str, value: str | None, message: str
) -> None:
    manifest = archive.manifest_of(copy)
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), name: value}))
    done = _command("drill", str(copy))
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unreachable_database_is_reported_in_one_line_with_status_2(tmp_path: Path) -> None:
    url = "postgresql://postgres@127.0.0.1:1/payments"
    done = _command("backup", "--folder", str(tmp_path), DATABASE_URL=url)
    assert done.returncode == 2
    assert "Connection refused" in done.stderr


def test_a_password_is_in_no_command_line() -> None:
    database = Database("postgresql://ann:s%23cret@db.example:6432/books")
    assert not [part for part in database.program("pg_dump") if "cret" in part]
    assert database.environ["PGPASSWORD"] == "s#cret"
    assert str(database) == "books at db.example:6432"


def test_the_head_is_read_before_the_snapshot(settled: EmbeddedPostgres, made: Path) -> None:
    assert archive.read_manifest(made).seal_head == exported_head(Database(settled.url))
