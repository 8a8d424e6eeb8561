"""Make a backup: a consistent dump, checked, with a manifest; then delete the oldest."""

import hashlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from payments_local.backup import archive
from payments_local.backup.archive import Manifest
from payments_local.backup.errors import BackupFailed
from payments_local.backup.server import Database, exported_head, run
from payments_local.postgres import BIN
from payments_local.programs import reason

LOCK_WAIT_MILLISECONDS = 30_000  # A migration may hold a table.
READ_SECONDS_MAX = 3600.0
FACTS = """
SELECT current_setting('server_version_num') || ' ' ||
    (SELECT version_num FROM alembic_version)"""


@dataclass(frozen=True)
class Made:
    """A new backup, and the old ones that were deleted for it."""

    dump: Path
    manifest: Manifest
    deleted: list[Path]


def create(database: Database, folder: Path, *, keep: int, recipient: str | None = None) -> Made:
    """Back the database up into the folder. Raises BackupFailed; then no backup was added.

    `recipient`: a public key of age, to encrypt for. pg_dump reads one snapshot: every payment is
    in the backup whole, or not at all.
    """
    _prepare(folder)
    version, revision = database.sql(FACTS).split()
    head = exported_head(database)  # Before the snapshot, which thus holds all that it seals.
    began = datetime.now(UTC)
    ending = ".dump" if recipient is None else ".dump.age"
    dump = folder / f"payments-{began:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}{ending}"
    try:
        with archive.new_file(dump) as file:
            digest, size = _write_dump(database, recipient, file)
    except OSError as error:
        raise BackupFailed(f"{folder}: {error.strerror}: no backup was made") from None
    if recipient is None:
        # Reads and unpacks all of it.
        run(
            [str(BIN / "pg_restore"), "--file=/dev/null", str(dump)],
            database.environ,
            READ_SECONDS_MAX,
        )
    manifest = Manifest(
        archive.FORMAT,
        began.isoformat(),
        database.name,
        int(version),
        revision,
        size,
        digest,
        recipient is not None,
        head,
    )
    archive.write_manifest(dump, manifest)
    return Made(dump, manifest, archive.prune(folder, keep))


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BackupFailed(f"{folder} cannot be made: {error.strerror}") from None


def _write_dump(database: Database, recipient: str | None, file: IO[bytes]) -> tuple[str, int]:
    """Write pg_dump's output, encrypted if asked; return its SHA-256 and size."""
    dumping = database.program(
        "pg_dump", "--format=custom", f"--lock-wait-timeout={LOCK_WAIT_MILLISECONDS}"
    )
    commands = [dumping] if recipient is None else [dumping, [age(), "--recipient", recipient]]
    digest, size = hashlib.sha256(), 0
    with piped(commands, database.environ) as output:
        while chunk := output.read(archive.READ_BYTES):
            digest.update(chunk)
            size += file.write(chunk)
    return digest.hexdigest(), size


def age() -> str:
    """Return the path of age, the encryption program. Raises BackupFailed without it."""
    found = shutil.which("age")
    if found is None:
        raise BackupFailed("encryption needs the program age: install your system's package")
    return found


@contextmanager
def piped(
    commands: list[list[str]], environ: dict[str, str], source: IO[bytes] | None = None
) -> Iterator[IO[bytes]]:
    """Run the programs as a pipe; yield its output. Raises BackupFailed if any of them fails."""
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryFile() as said:
        try:
            feed: IO[bytes] | int | None = source or subprocess.DEVNULL
            for command in commands:
                process = subprocess.Popen(  # noqa: S603 - our own commands.
                    command, env=environ, stdin=feed, stdout=subprocess.PIPE, stderr=said
                )
                if running and running[-1].stdout is not None:
                    running[-1].stdout.close()  # It must notice when its reader ends.
                running.append(process)
                feed = process.stdout
            assert process.stdout is not None
            yield process.stdout
            statuses = [each.wait() for each in running]
        finally:
            for each in running:
                if each.poll() is None:
                    each.kill()
                each.wait()
                if each.stdout is not None:
                    each.stdout.close()
        if any(statuses):
            said.seek(0)
            lines = said.read().decode(errors="replace").splitlines()
            failed = next(
                command for command, status in zip(commands, statuses, strict=True) if status
            )
            raise BackupFailed(f"{os.path.basename(failed[0])}: {reason(lines)}")  # noqa: PTH119
