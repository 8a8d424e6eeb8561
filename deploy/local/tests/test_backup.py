"""Backups: consistent under load, refused when damaged, and checked before they replace data."""

import asyncio
import dataclasses
import hashlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from payments_api.migrate import migrate
from payments_core.db.engine import create_engine
from payments_local.backup import archive
from payments_local.backup.create import create
from payments_local.backup.drill import drill, span_text
from payments_local.backup.errors import BackupFailed, BooksBroken
from payments_local.backup.restore import restore
from payments_local.backup.server import Database, exported_head
from payments_local.postgres import EmbeddedPostgres, running_postgres
from payments_local.settings import REPOSITORY
from testkit.database.backlog import add_simple, until_completed
from testkit.database.sealed_ledger import seal_all
from testkit.database.settled_ledger import break_ledger
from testkit.waiting import until
from testkit.worker.own_system import migrated_postgres, running_worker, worker_url

PAYMENTS = 40
KEYS = "SELECT string_agg(idempotency_key, ' ' ORDER BY id) FROM payments"
RIGHTS = """
SELECT (SELECT string_agg(format('%s %s %s', grantee, table_name, privilege_type), ' '
        ORDER BY grantee, table_name, privilege_type) FROM information_schema.table_privileges
        WHERE table_schema = 'public'),
    (SELECT datacl::text FROM pg_database WHERE datname = current_database())"""


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    """A migrated server for one test."""
    with migrated_postgres() as running:
        yield running


@pytest.fixture(scope="module")
def settled() -> Iterator[EmbeddedPostgres]:
    """A server with settled and sealed payments, which no test changes."""
    with migrated_postgres() as server:
        asyncio.run(_settle(server))
        yield server


@pytest.fixture(scope="module")
def made(settled: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of them, which no test changes."""
    folder = tmp_path_factory.mktemp("100 % of it")  # Spaces and percent signs are allowed.
    return create(Database(settled.url), folder, keep=7).dump


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """A copy of the backup, to damage."""
    for path in (made, archive.manifest_of(made)):
        shutil.copy(path, tmp_path)
    return tmp_path / made.name


async def _settle(server: EmbeddedPostgres) -> None:
    sql = await asyncpg.connect(server.url)
    async with running_worker(worker_url(server)):
        await add_simple(sql, PAYMENTS)
        await until_completed(sql, PAYMENTS)
    engine = create_engine(server.url, application_name="sealing", pool_size=1)
    while not await seal_all(engine):  # noqa: ASYNC110 - a transaction elsewhere decides it.
        await asyncio.sleep(0.05)
    await engine.dispose()
    await sql.close()


def _command(*words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "payments_local", *words],
        env={**os.environ, **environ},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


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
    assert archive.complete_backups(tmp_path) == sorted(made)[1:]
    assert (tmp_path / "payments-notes.dump.txt").exists()
    assert not made[0].exists()


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


async def test_a_restore_replaces_the_data_of_a_running_system(
    server: EmbeddedPostgres, copy: Path
) -> None:
    target = Database(server.url)
    sql = await asyncpg.connect(server.url)
    await add_simple(sql, 3)
    before = await sql.fetchrow(RIGHTS)
    await sql.close()
    stop = asyncio.Event()

    async def reconnect() -> None:
        while not stop.is_set():
            with suppress(asyncpg.PostgresError, OSError, asyncpg.InterfaceError):
                session = await asyncpg.connect(server.url)
                try:
                    await session.execute("SELECT pg_sleep(5)")
                finally:
                    session.terminate()

    pool = [asyncio.create_task(reconnect()) for _ in range(4)]
    held, old = await asyncio.to_thread(restore, copy, target, replace="payments")
    stop.set()
    assert held.payments == PAYMENTS
    assert old is not None
    assert old.sql("SELECT count(*) FROM payments").strip() == "3"
    for session in pool:
        session.cancel()
    await asyncio.gather(*pool, return_exceptions=True)
    sql = await asyncpg.connect(server.url)
    assert await sql.fetchval("SELECT count(*) FROM payments") == PAYMENTS
    assert await sql.fetchrow(RIGHTS) == before
    await sql.close()


def test_replacing_payments_needs_the_databases_name(copy: Path, settled: EmbeddedPostgres) -> None:
    for replace in (None, "payment", ""):
        with pytest.raises(BackupFailed, match="add --replace payments"):
            restore(copy, Database(settled.url), replace=replace)


def test_a_backup_is_restored_on_an_empty_server(made: Path, settled: EmbeddedPostgres) -> None:
    with running_postgres() as server:
        target = Database(server.url).sibling("new books")
        restore(made, target)
        assert target.sql(KEYS) == Database(settled.url).sql(KEYS)
        databases = Database(server.url).sql("SELECT datname FROM pg_database ORDER BY 1")
        assert databases.split("\n")[:2] == ["new books", "payments"]
        assert "_restoring" not in databases


def _truncated(dump: Path) -> None:
    os.truncate(dump, dump.stat().st_size - 100)


def _altered(dump: Path) -> None:
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(content)


def _consistently_truncated(dump: Path) -> None:
    """Truncate the dump and adapt its manifest, like a faulty pg_dump."""
    _truncated(dump)
    manifest = archive.read_manifest(dump)
    archive.manifest_of(dump).unlink()
    content = dump.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    changed = dataclasses.replace(manifest, bytes=len(content), sha256=digest)
    archive.write_manifest(dump, changed)


def _without_manifest(dump: Path) -> None:
    archive.manifest_of(dump).unlink()


def _with_another_head(dump: Path) -> None:
    manifest = archive.read_manifest(dump)
    assert manifest.seal_head is not None
    archive.manifest_of(dump).unlink()
    head = {name: _other(value) for name, value in manifest.seal_head.items()}
    archive.write_manifest(dump, dataclasses.replace(manifest, seal_head=head))


def _other(value: Any) -> Any:
    is_hash = isinstance(value, str) and len(value) == 64
    return value[::-1] if is_hash else value


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (_truncated, BackupFailed, "bytes, its manifest says"),
        (_altered, BackupFailed, "was altered"),
        (_consistently_truncated, BackupFailed, "pg_restore"),
        (_without_manifest, BackupFailed, "the backup is incomplete"),
        (_with_another_head, BooksBroken, "audit --seal says"),
    ],
)
def test_a_damaged_backup_replaces_nothing(
    copy: Path,
    settled: EmbeddedPostgres,
    damage: Callable[[Path], None],
    error: type[Exception],
    message: str,
) -> None:
    damage(copy)
    target = Database(settled.url)
    before = target.sql(KEYS, "SELECT datname FROM pg_database ORDER BY 1")
    with pytest.raises(error, match=message):
        restore(copy, target, replace="payments")
    assert target.sql(KEYS, "SELECT datname FROM pg_database ORDER BY 1") == before


async def test_a_drill_names_the_invariant_that_the_books_break(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    await _settle(server)
    sql = await asyncpg.connect(server.url)
    await break_ledger(sql, "UPDATE accounts SET balance = balance + 1, credits = credits + 1")
    await sql.close()
    dump = (await asyncio.to_thread(create, Database(server.url), tmp_path, keep=1)).dump
    done = await asyncio.to_thread(_command, "drill", str(dump))
    assert done.returncode == 1
    assert "head_row_is_the_last_entry" in done.stderr


@pytest.mark.parametrize("what", ["backup", "restore"])
async def test_a_killed_command_changes_nothing(
    server: EmbeddedPostgres, copy: Path, tmp_path: Path, what: str
) -> None:
    sql = await asyncpg.connect(server.url)
    await add_simple(sql, 5)
    keys = await sql.fetchval(KEYS)
    holder = await asyncpg.connect(server.url)
    await holder.execute("BEGIN; LOCK TABLE payments")  # pg_dump waits for it.
    folder = tmp_path / "killed"
    words = [what, "--folder", str(folder)]
    words += [str(copy), "--replace", "payments"] if what == "restore" else []
    command = subprocess.Popen(  # noqa: ASYNC220 - it is killed, not waited for.
        [sys.executable, "-m", "payments_local", *words],
        env={**os.environ, "DATABASE_URL": server.url},
        cwd=REPOSITORY,
        start_new_session=True,
    )

    async def busy() -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"
        program = "pg_dump" if what == "backup" else "pg_restore"
        return bool(await sql.fetchval(query, program))

    if what == "restore":
        await holder.execute("ROLLBACK")
    await until(busy, 60.0)
    os.killpg(command.pid, signal.SIGKILL)
    command.wait()
    await holder.close()
    assert await sql.fetchval(KEYS) == keys
    await sql.close()
    if what == "backup":
        assert archive.complete_backups(folder) == []
        again = await asyncio.to_thread(create, Database(server.url), folder, keep=1)
        assert again.dump.exists()


def test_a_full_disk_leaves_no_backup(settled: EmbeddedPostgres, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run(
        [sys.executable, "-m", "payments_local", "backup", "--folder", str(tmp_path / "full")],
        env={**os.environ, "DATABASE_URL": settled.url},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        preexec_fn=limit,
        check=False,
    )
    assert done.returncode == 2
    assert "no backup was made" in done.stderr
    assert list((tmp_path / "full").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["drill", "--folder", "{empty}"], "holds no backup: run make backup"),
        (["restore", "--folder", "{empty}"], "holds no backup"),
        (["drill", "{empty}/no.dump"], "no.dump does not exist"),
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


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A new key of age."""
    if shutil.which("age-keygen") is None:
        assert "age" not in os.environ.get("REQUIRE", "").split(","), (
            "REQUIRE=age, and it is absent"
        )
        pytest.skip("no age on PATH (Debian's package is called age)")
    path = tmp_path / "key"
    subprocess.run(["age-keygen", "--output", str(path)], check=True, capture_output=True)
    return path


def test_an_encrypted_backup_needs_its_key(
    settled: EmbeddedPostgres, tmp_path: Path, key_file: Path
) -> None:
    public = subprocess.run(
        ["age-keygen", "-y", str(key_file)], check=True, capture_output=True, text=True
    ).stdout.strip()
    dump = create(Database(settled.url), tmp_path / "b", keep=1, recipient=public).dump
    assert dump.read_bytes().startswith(b"age-encryption.org/")
    assert drill(dump, key_file).restored.payments == PAYMENTS
    with pytest.raises(BackupFailed, match="name the key file with --identity"):
        drill(dump)
    other = tmp_path / "other"
    subprocess.run(["age-keygen", "--output", str(other)], check=True, capture_output=True)
    with pytest.raises(BackupFailed, match="age"):
        drill(dump, other)


def test_the_head_is_read_before_the_snapshot(settled: EmbeddedPostgres, made: Path) -> None:
    assert archive.read_manifest(made).seal_head == exported_head(Database(settled.url))


def test_a_schema_without_payments_needs_no_replace(server: EmbeddedPostgres, copy: Path) -> None:
    held, old = restore(copy, Database(server.url))
    assert held.payments == PAYMENTS
    assert old is not None
