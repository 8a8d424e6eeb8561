"""Restore a backup into a database, and check it before it replaces anything."""

import json
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from payments_local.backup import archive
from payments_local.backup.archive import Manifest
from payments_local.backup.errors import BackupFailed, BooksBroken
from payments_local.backup.pipeline import age, piped
from payments_local.backup.server import (
    MAINTENANCE_DATABASE,
    Database,
    attempt,
    literal,
    our_program,
    quoted,
    run,
)
from payments_local.postgres import BIN
from payments_local.programs import reason

MIGRATE_SECONDS_MAX = 3600.0
SWAP_TRIES_MAX = 10
ROLES = "'payments_api', 'payments_worker', 'payments_readonly', 'payments_backup'"
# Debian's PostgreSQL 17.12 stores a private option in each column, which other builds reject.
FOREIGN_OPTION = re.compile(
    rb"^ALTER TABLE ONLY \S+ ALTER COLUMN \S+ SET \(pg_attver=\d+\);\n", re.MULTILINE
)
COUNTS = """
SELECT (SELECT count(*) FROM payments) || ' ' || (SELECT count(*) FROM ledger_entries)"""


@dataclass(frozen=True)
class Restored:
    """A restored database's content, and the duration of loading and checking in seconds."""

    payments: int
    entries: int
    sealed: bool
    load_seconds: float
    check_seconds: float


def restore(
    dump: Path,
    target: Database,
    *,
    replace: str | None = None,
    identity: Path | None = None,
    ignore_signals: Callable[[], None] = lambda: None,
) -> tuple[Restored, Database | None]:
    """Restore into the target; return its content, and the new name of the replaced database.

    The backup is loaded into a database beside the target and audited there; then both are renamed
    in one transaction. Raises BackupFailed or BooksBroken; then the target is unchanged. `replace`
    must be the target's name if it holds payments already. `ignore_signals` is called when only
    the renaming is left, or the cleaning up after a failure.
    """
    manifest = archive.read_manifest(dump)
    there = target.exists()
    if there and _has_payments(target) and replace != target.name:
        raise BackupFailed(
            f"{target} holds payments already: add --replace {target.name} to put the backup in"
            " their place; the database is kept under another name"
        )
    scratch = target.sibling(f"{target.name}_restoring_{token_hex(3)}")
    try:
        restored = load_and_check(dump, manifest, scratch, identity)
        ignore_signals()
        if there:
            return restored, _swap(target, scratch)
        _rename(scratch, target)
    except BaseException as error:
        ignore_signals()
        try:
            scratch.drop()
        except BackupFailed:
            why = f"{error}; " if isinstance(error, BackupFailed) else ""
            raise BackupFailed(f"{why}{scratch} is left: drop it") from error
        raise
    return restored, None


def load_and_check(
    dump: Path, manifest: Manifest, scratch: Database, identity: Path | None
) -> Restored:
    """Create the scratch database from the backup, and audit it. The caller drops it.

    Raises BackupFailed, and BooksBroken if an invariant or the chain of seals does not hold.
    """
    began = time.monotonic()
    archive.check_unaltered(dump, manifest)
    _refuse_older_server(scratch, manifest)
    _make_roles(scratch)
    _create(scratch)
    _load(dump, manifest, scratch, identity)
    run(our_program("payments_api", "migrate"), scratch.environ, MIGRATE_SECONDS_MAX)
    loaded = time.monotonic()
    _check(scratch, "audit", "--full")
    if manifest.seal_head is not None:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as head:
            json.dump(manifest.seal_head, head)
            head.flush()
            _check(scratch, "audit", "--seal", "--check-head", head.name)
    payments, entries = scratch.sql(COUNTS).split()
    ended = time.monotonic()
    return Restored(
        int(payments),
        int(entries),
        manifest.seal_head is not None,
        loaded - began,
        ended - loaded,
    )


def _has_payments(database: Database) -> bool:
    if database.sql("SELECT to_regclass('public.payments') IS NULL").strip() == "t":
        return False
    return database.sql("SELECT EXISTS (SELECT FROM payments)").strip() == "t"


def _refuse_older_server(scratch: Database, manifest: Manifest) -> None:
    server = scratch.sibling(MAINTENANCE_DATABASE).sql("SHOW server_version_num").strip()
    made, here = manifest.server_version // 10_000, int(server) // 10_000
    if made > here:
        raise BackupFailed(
            f"the backup is of PostgreSQL {made}, this server is {here}: restore on {made} or newer"
        )


def _make_roles(scratch: Database) -> None:
    """Create the services' roles on a server that lacks them: a dump of one database has none."""
    server = scratch.sibling(MAINTENANCE_DATABASE)
    if server.sql(f"SELECT count(*) FROM pg_roles WHERE rolname IN ({ROLES})").strip() == "4":
        return
    passing = scratch.sibling(f"{scratch.name}_roles")
    try:
        _create(passing)
        run(our_program("payments_api", "migrate"), passing.environ, MIGRATE_SECONDS_MAX)
    finally:
        passing.drop()


def _create(database: Database) -> None:
    name = quoted(database.name)
    server = database.sibling(MAINTENANCE_DATABASE)
    server.sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    # A privilege on the database itself, which a dump of its contents does not include.
    server.sql(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")


def _load(dump: Path, manifest: Manifest, scratch: Database, identity: Path | None) -> None:
    """Load tables, rows, indexes and triggers. After a failure the caller drops the database."""
    tables = ["--section=pre-data", "--file=-"]
    reading = [str(BIN / "pg_restore"), *tables]
    statements = FOREIGN_OPTION.sub(b"", _unpack(dump, manifest, scratch, identity, reading))
    with tempfile.NamedTemporaryFile(suffix=".sql") as script:
        script.write(statements)
        script.flush()
        options = ("--no-psqlrc", "--quiet", "--single-transaction", "-vON_ERROR_STOP=1")
        run(scratch.program("psql", *options, f"--file={script.name}"), scratch.environ)
    rest = ("--section=data", "--section=post-data", "--exit-on-error", "--single-transaction")
    _unpack(dump, manifest, scratch, identity, scratch.program("pg_restore", *rest))


def _unpack(
    dump: Path, manifest: Manifest, scratch: Database, identity: Path | None, reading: list[str]
) -> bytes:
    """Pipe the decrypted dump into a program; return its output."""
    if not manifest.encrypted:
        commands = [reading]
    elif identity is None:
        raise BackupFailed(f"{dump} is encrypted: name the key file with --identity")
    else:
        commands = [[age(), "--decrypt", "--identity", str(identity)], reading]
    with ExitStack() as stack:
        source = stack.enter_context(dump.open("rb"))
        output = stack.enter_context(piped(commands, scratch.environ, source))
        return output.read()


def _check(scratch: Database, *arguments: str) -> None:
    done = attempt(our_program("recon_worker", *arguments), scratch.environ)
    if done.returncode == 1:
        raise BooksBroken(
            f"the books in the backup are invalid: {' '.join(arguments[:2])} says:"
            f" {done.stdout.strip() or done.stderr.strip()}"
        )
    if done.returncode != 0:
        raise BackupFailed(f"the backup cannot be audited: {reason(done.stderr.splitlines())}")


def _rename(scratch: Database, target: Database) -> None:
    scratch.sibling(MAINTENANCE_DATABASE).sql(
        f"ALTER DATABASE {quoted(scratch.name)} RENAME TO {quoted(target.name)}"
    )


def _swap(target: Database, scratch: Database) -> Database:
    """Put the scratch database in the target's place; return the old one under its new name."""
    old = target.sibling(f"{target.name}_before_{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    swap = (
        f"BEGIN; ALTER DATABASE {quoted(target.name)} RENAME TO {quoted(old.name)};"
        f" ALTER DATABASE {quoted(scratch.name)} RENAME TO {quoted(target.name)}; COMMIT"
    )
    server = target.sibling(MAINTENANCE_DATABASE)
    for tries_left in reversed(range(SWAP_TRIES_MAX)):
        try:
            with _sessions_ended(target):
                server.sql(swap)
        except BackupFailed:
            if not tries_left:
                raise
        else:
            return old
    raise AssertionError("the last try returns or raises")


@contextmanager
def _sessions_ended(database: Database) -> Iterator[None]:
    """End the database's sessions repeatedly: pools reconnect until the renaming locks it."""
    name = literal(database.name)
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {name}"
    server = database.sibling(MAINTENANCE_DATABASE)
    done = threading.Event()

    def repeat() -> None:
        while True:
            with suppress(BackupFailed):  # The renaming fails too, and says why.
                server.sql(end)
            if done.wait(0.1):
                return

    thread = threading.Thread(target=repeat, name="end-sessions")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
