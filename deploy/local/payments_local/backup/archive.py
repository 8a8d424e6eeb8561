"""A backup's files: the dump, and a manifest that describes its content."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from payments_core.cli.files import PARTIAL, new_file
from payments_local.backup.errors import BackupFailed

FORMAT = 1
NAME = re.compile(r"payments-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}\.dump(\.age)?")
OWNER_ONLY = 0o600  # It holds all customers' payments.
PARTIAL_AGE_MAX = timedelta(
    days=1
)  # Longer than any backup: a partial file of this age is from an interrupted one.
READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Manifest:
    """Describes a dump. `created_at` precedes its snapshot, which has all earlier commits."""

    format: int
    created_at: str
    database: str
    server_version: int  # In the format of server_version_num: 180006 is 18.6.
    schema_revision: str
    bytes: int
    sha256: str
    encrypted: bool
    seal_head: dict[str, Any] | None

    @property
    def age(self) -> timedelta:
        """The time since the backup began."""
        return datetime.now(UTC) - datetime.fromisoformat(self.created_at)


def manifest_of(dump: Path) -> Path:
    """Return the path of a dump's manifest."""
    return dump.with_name(f"{dump.name}.json")


def read_manifest(dump: Path) -> Manifest:
    """Read the manifest. Raises BackupFailed if it is missing or has another format."""
    try:
        manifest = TypeAdapter(Manifest).validate_json(manifest_of(dump).read_bytes(), strict=True)
        if datetime.fromisoformat(manifest.created_at).tzinfo is None:
            raise ValueError("created_at has no time zone")
    except FileNotFoundError:
        missing = manifest_of(dump) if dump.exists() else dump
        because = ": the backup is incomplete" if dump.exists() else ""
        raise BackupFailed(f"{missing} does not exist{because}") from None
    except (OSError, ValueError) as error:
        why = " ".join(str(error).split())
        raise BackupFailed(f"{manifest_of(dump)} cannot be read: {why}") from None
    if manifest.format != FORMAT:
        raise BackupFailed(f"{dump} has format {manifest.format}: use the release that made it")
    return manifest


def write_manifest(dump: Path, manifest: Manifest) -> None:
    """Write the manifest atomically. A backup is complete once it has a manifest."""
    with new_file(manifest_of(dump), OWNER_ONLY) as file:
        file.write(json.dumps(asdict(manifest), indent=2).encode() + b"\n")


def check_unaltered(dump: Path, manifest: Manifest) -> None:
    """Raise BackupFailed unless the dump has the bytes that its manifest names."""
    digest, size = hashlib.sha256(), 0
    try:
        with dump.open("rb") as file:
            while chunk := file.read(READ_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise BackupFailed(f"{dump} cannot be read: {error.strerror}") from None
    if size != manifest.bytes:
        raise BackupFailed(f"{dump} has {size:,} bytes, its manifest says {manifest.bytes:,}")
    if digest.hexdigest() != manifest.sha256:
        raise BackupFailed(f"{dump} was altered: its SHA-256 is not that of its manifest")


def complete_backups(folder: Path) -> list[Path]:
    """Return the dumps with a manifest, oldest first."""
    return sorted(
        path
        for path in folder.glob("payments-*.dump*")
        if NAME.fullmatch(path.name) and manifest_of(path).exists()
    )


def newest(folder: Path) -> Path:
    """Return the newest complete backup. Raises BackupFailed if there is none."""
    backups = complete_backups(folder)
    if not backups:
        raise BackupFailed(f"{folder} holds no backup: run make backup")
    return backups[-1]


def delete(dump: Path) -> None:
    """Delete a backup, the manifest first: a dump without one is not a backup. Raises OSError."""
    manifest_of(dump).unlink(missing_ok=True)
    dump.unlink(missing_ok=True)


def prune(folder: Path, keep: int) -> list[Path]:
    """Delete all but the newest `keep` backups, and parts of interrupted ones.

    Return the deleted backups. Raises BackupFailed if one cannot be deleted.
    """
    oldest_first = complete_backups(folder)
    deleted = oldest_first[: max(0, len(oldest_first) - keep)]
    old = (datetime.now(UTC) - PARTIAL_AGE_MAX).timestamp()
    try:
        for dump in deleted:
            delete(dump)
        for partial in folder.glob(f"payments-*.dump*{PARTIAL}"):
            if partial.lstat().st_mtime < old:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise BackupFailed(
            f"the new backup is complete, but {error.filename} cannot be deleted: {error.strerror}"
        ) from None
    return deleted
