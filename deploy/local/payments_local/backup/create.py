"""Make a backup: a consistent dump, checked, with a manifest; then delete the oldest."""

import hashlib
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from payments_core.cli.files import new_file
from payments_local.backup import archive
from payments_local.backup.archive import Manifest
from payments_local.backup.errors import BackupFailed
from payments_local.backup.pipeline import age, piped
from payments_local.backup.server import Database, exported_head, run
from payments_local.postgres import BIN

LOCK_WAIT_MILLISECONDS = 30_000  # A migration may lock a table.
READ_SECONDS_MAX = 3600.0
# A database of an earlier release, before its upgrade, has no such table.
TIME_TABLE = "SELECT to_regclass('public.last_backup') IS NOT NULL"
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
    # Read before the snapshot, so that the snapshot contains every sealed entry.
    head = exported_head(database)
    began = datetime.now(UTC)
    ending = ".dump" if recipient is None else ".dump.age"
    dump = folder / f"payments-{began:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}{ending}"
    try:
        with new_file(dump, archive.OWNER_ONLY) as file:
            digest, size = _write_dump(database, recipient, file)
        if recipient is None:
            # Reads and unpacks the whole dump.
            check = [str(BIN / "pg_restore"), "--file=/dev/null", str(dump)]
            run(check, database.environ, READ_SECONDS_MAX)
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
    except BaseException as error:
        with suppress(OSError):
            archive.delete(dump)  # Without a manifest it would never be pruned.
        if isinstance(error, OSError):
            why = f"{folder}: {error.strerror}: no backup was made"
            raise BackupFailed(why) from None
        raise
    _record(database, began)
    return Made(dump, manifest, archive.prune(folder, keep))


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BackupFailed(f"{folder} cannot be made: {error.strerror}") from None


def _record(database: Database, began: datetime) -> None:
    """Record the backup's time, from which alerts compute its age."""
    if database.sql(TIME_TABLE).strip() == "t":
        database.sql(f"UPDATE last_backup SET taken_at = '{began.isoformat()}'")


def _write_dump(database: Database, recipient: str | None, file: IO[bytes]) -> tuple[str, int]:
    """Write pg_dump's output, encrypted for the recipient if any; return its SHA-256 and size."""
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
