"""Verify a backup: restore it on a temporary server, audit it, and report figures."""

from dataclasses import dataclass
from datetime import timedelta
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
        held = self.restored
        seal = "the seal's head is in its chain" if held.sealed else "it had no seal yet"
        return (
            f"{self.dump.name}: {held.payments:,} payments and {held.entries:,} ledger entries"
            f" ({self.manifest.bytes / 1e6:.1f} MB) restored in {held.load_seconds:.1f} s and"
            f" audited in {held.check_seconds:.1f} s: every invariant holds, {seal}. A restore"
            f" now would lose the last {span_text(self.manifest.age)}."
        )


def span_text(span: timedelta) -> str:
    """Return the span in the largest unit of which it has two: 75 s, 12 min, 8.3 h or 3.5 days."""
    seconds = max(span.total_seconds(), 0)
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 2 * 86_400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} days"


def drill(dump: Path, identity: Path | None = None) -> Drill:
    """Restore the backup on a throw-away server. Raises BackupFailed or BooksBroken.

    The running system is not touched, and a damaged backup is found before it is needed.
    """
    manifest = archive.read_manifest(dump)
    with running_postgres() as server:
        scratch = Database(server.url).sibling("drill")
        return Drill(dump, manifest, load_and_check(dump, manifest, scratch, identity))
