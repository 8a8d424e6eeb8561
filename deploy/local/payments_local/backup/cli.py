"""The commands `backup`, `restore` and `drill` of payments_local."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from payments_local.backup import archive
from payments_local.backup.create import create
from payments_local.backup.drill import drill
from payments_local.backup.restore import restore
from payments_local.backup.server import Database
from payments_local.settings import LocalSettings

KEEP = 7


def add_commands(verbs: Any) -> None:
    """Add the three commands to the parser's verbs."""
    making = verbs.add_parser("backup", help="back up the database of DATABASE_URL or PG_PORT")
    making.add_argument("--keep", type=_positive, default=KEEP, help=f"backups to keep ({KEEP})")
    making.add_argument(
        "--encrypt-to", metavar="KEY", help="encrypt for this public key of age (age1...)"
    )
    restoring = verbs.add_parser("restore", help="put a backup in the database's place")
    restoring.add_argument(
        "--replace", metavar="NAME", help="the database's name, if it holds payments already"
    )
    drilling = verbs.add_parser(
        "drill", help="restore a backup on a temporary server, and audit it"
    )
    for parser in (restoring, drilling):
        parser.add_argument("dump", nargs="?", type=Path, help="the file (default: the newest)")
        parser.add_argument(
            "--identity", type=_absolute, help="the key file of age to decrypt with"
        )
    for parser in (making, restoring, drilling):
        parser.add_argument(
            "--folder",
            type=Path,
            default=Path(os.environ.get("BACKUP_DIR") or "backups"),
            help="where backups are (default: BACKUP_DIR, or ./backups)",
        )


def run(options: argparse.Namespace, settings: LocalSettings) -> None:
    """Run one of the commands. Raises BackupFailed or BooksBroken."""
    database = Database(settings.url_for("postgres"))
    folder = options.folder.resolve()
    if options.verb == "backup":
        made = create(database, folder, keep=options.keep, recipient=options.encrypt_to)
        size = f"{made.manifest.bytes / 1e6:.1f} MB"
        sys.stdout.write(f"backed up {database}: {made.dump} ({size})\n")
        for dump in made.deleted:
            sys.stdout.write(f"deleted {dump}\n")
        return
    dump = options.dump.resolve() if options.dump else archive.newest(folder)
    if options.verb == "drill":
        sys.stdout.write(f"{drill(dump, options.identity)}\n")
        return
    held, old = restore(dump, database, replace=options.replace, identity=options.identity)
    sys.stdout.write(
        f"restored {dump} to {database}: {held.payments:,} payments, every invariant holds\n"
    )
    if old is not None:
        sys.stdout.write(f"the replaced database is kept as {old.name}: drop it when sure\n")
        sys.stdout.write(
            "running workers miss the seals that are newer than the backup and report"
            " ledger_seal_broken: see docs/operations/backup.md, A restore\n"
        )


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return int(text)


def _absolute(text: str) -> Path:
    return Path(text).absolute()
