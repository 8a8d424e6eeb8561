"""The commands `backup`, `restore` and `drill` of payments_local."""

import os
import signal
from pathlib import Path

import click

from payments_core.cli.arguments import WholeNumber
from payments_core.cli.program import Command
from payments_local.backup import archive
from payments_local.backup.create import create
from payments_local.backup.drill import drill as verify
from payments_local.backup.restore import restore as put_back
from payments_local.backup.server import Database
from payments_local.settings import LocalSettings

KEEP, KEEP_MAX = 7, 10_000
STATUSES = (
    "0 done; 1 the books in the backup violate an invariant or a seal; 2 failed, and replaced"
    " nothing."
)

in_folder = click.option(
    "--folder",
    type=click.Path(path_type=Path),
    envvar="BACKUP_DIR",
    default="backups",
    help="The folder of backups (default: BACKUP_DIR, or ./backups).",
)
existing_file = click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path)
of_one_backup = click.argument("dump", metavar="[FILE]", type=existing_file, required=False)
with_identity = click.option(
    "--identity", type=existing_file, help="The key file of age to decrypt with; not a pipe."
)


@click.command(
    cls=Command,
    example="python -m payments_local backup --keep 30",
    statuses="0 done; 2 failed: no backup was made.",
)
@click.option(
    "--keep", type=WholeNumber(KEEP_MAX), default=KEEP, show_default=True, help="Backups to keep."
)
@click.option("--encrypt-to", metavar="KEY", help="Encrypt for this public key of age (age1...).")
@in_folder
def backup(keep: int, encrypt_to: str | None, folder: Path) -> None:
    """Back up the database of DATABASE_URL or PG_PORT."""
    database = _database()
    made = create(database, folder.resolve(), keep=keep, recipient=encrypt_to)
    print(f"backed up {database}: {made.dump} ({made.manifest.bytes / 1e6:.1f} MB)")
    for dump in made.deleted:
        print(f"deleted {dump}")


@click.command(
    cls=Command,
    example="python -m payments_local restore --replace payments",
    statuses=STATUSES,
)
@of_one_backup
@with_identity
@click.option(
    "--replace", metavar="NAME", help="The database's name, if it holds payments already."
)
@in_folder
def restore(dump: Path | None, identity: Path | None, replace: str | None, folder: Path) -> None:
    """Put the backup FILE, or the newest, in the database's place."""
    database, chosen = _database(), _chosen(dump, folder)
    held, old = put_back(
        chosen,
        database,
        replace=replace,
        identity=identity,
        ignore_signals=_ignore_signals,
    )
    print(f"restored {chosen} to {database}: {held.payments:,} payments, every invariant holds")
    if old is not None:
        print(f"the replaced database is kept as {old.name}: drop it when sure")
        print(
            "running workers miss the seals that are newer than the backup and report"
            " ledger_seal_broken: see docs/operations/backup.md, A restore"
        )


@click.command(
    cls=Command,
    example="python -m payments_local drill",
    statuses=STATUSES,
)
@of_one_backup
@with_identity
@in_folder
def drill(dump: Path | None, identity: Path | None, folder: Path) -> None:
    """Restore the backup FILE, or the newest, on a temporary server, and audit it."""
    print(verify(_chosen(dump, folder), identity))


def _database() -> Database:
    return Database(LocalSettings.from_environ(os.environ).url_for("postgres"))


def _chosen(dump: Path | None, folder: Path) -> Path:
    return dump or archive.newest(folder.resolve())


def _ignore_signals() -> None:
    """Let the renaming or the cleaning up end, and be reported: it takes a moment."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
