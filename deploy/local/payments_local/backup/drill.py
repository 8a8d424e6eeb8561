"""Verify a backup: restore it on a temporary server, audit it, and report figures."""

from dataclasses import dataclass
from pathlib import Path

from payments_local.backup import archive
from payments_local.backup.archive import Manifest
from payments_local.backup.restore import Restored, load_and_check
from payments_local.backup.server import Database
from payments_local.postgres import running_postgres


@dataclass(frozen=True)
class Drill:
    """A successful drill."""

    dump: Path
    manifest: Manifest
    restored: Restored

    def __str__(self) -> str:
        held, hours = self.restored, self.manifest.age.total_seconds() / 3600
        seal = "the seal's head is in its chain" if held.sealed else "it had no seal yet"
        return (
            f"{self.dump.name}: {held.payments:,} payments and {held.entries:,} ledger entries"
            f" ({self.manifest.bytes / 1e6:.1f} MB) restored in {held.load_seconds:.1f} s and"
            f" audited in {held.check_seconds:.1f} s: every invariant holds, {seal}. A restore"
            f" now would lose the last {hours:.1f} h."
        )


def drill(dump: Path, identity: Path | None = None) -> Drill:
    """Restore the backup on a throw-away server. Raises BackupFailed or BooksBroken.

    The running system is not touched, and a damaged backup is found before it is needed.
    """
    manifest = archive.read_manifest(dump)
    with running_postgres() as server:
        scratch = Database(server.url).sibling("drill")
        return Drill(dump, manifest, load_and_check(dump, manifest, scratch, identity))
