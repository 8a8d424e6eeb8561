"""Restoring: refused when damaged, checked before it replaces data, encrypted on request."""

import asyncio
import dataclasses
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from payments_core.cli.database import DATABASE_ERRORS
from payments_local.backup import archive
from payments_local.backup.create import create
from payments_local.backup.drill import drill
from payments_local.backup.errors import BackupFailed, BooksBroken
from payments_local.backup.restore import restore
from payments_local.backup.server import Database
from payments_local.postgres import EmbeddedPostgres, running_postgres
from payments_local.settings import REPOSITORY
from testkit.database.backlog import add_simple
from testkit.waiting import until

from .conftest import KEYS, PAYMENTS, RIGHTS


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
            with suppress(*DATABASE_ERRORS):
                session = await asyncpg.connect(server.url)
                try:
                    await session.execute("SELECT pg_sleep(0.2)")
                finally:
                    session.terminate()

    pool = [asyncio.create_task(reconnect()) for _ in range(4)]
    held, old = await asyncio.to_thread(restore, copy, target, replace="payments")
    stop.set()
    assert held.payments == PAYMENTS
    assert old is not None
    assert old.sql("SELECT count(*) FROM payments").strip() == "3"
    await asyncio.gather(*pool)  # Not cancelled: asyncpg forgets what a cut connect left behind.
    sql = await asyncpg.connect(server.url)
    assert await sql.fetchval("SELECT count(*) FROM payments") == PAYMENTS
    assert await sql.fetchrow(RIGHTS) == before
    await sql.close()


async def test_a_signal_does_not_interrupt_the_renaming(
    server: EmbeddedPostgres, copy: Path
) -> None:
    url = Database(server.url).sibling("postgres").url
    sql, holder = await asyncpg.connect(url), await asyncpg.connect(url)

    async def renaming() -> bool:
        waits = "SELECT 1 FROM pg_stat_activity WHERE query ~ 'RENAME' AND wait_event_type = 'Lock'"
        return bool(await sql.fetchval(waits))

    async with holder.transaction():
        await holder.execute("COMMENT ON DATABASE payments IS 'locked'")
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "payments_local", "restore", str(copy)),
            env={**os.environ, "DATABASE_URL": server.url},
            cwd=REPOSITORY,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        await until(renaming, 60.0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            command.send_signal(number)
    text, errors = await command.communicate()
    assert (command.returncode, errors) == (0, b"")
    assert b"restored" in text
    assert b"is kept as payments_before_" in text
    await sql.close()
    await holder.close()


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


def test_a_schema_without_payments_needs_no_replace(server: EmbeddedPostgres, copy: Path) -> None:
    held, old = restore(copy, Database(server.url))
    assert held.payments == PAYMENTS
    assert old is not None
