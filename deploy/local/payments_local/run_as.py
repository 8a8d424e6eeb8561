"""The user that Postgres runs as: it refuses root.

For root, that is the user `postgres` if there is one, otherwise `nobody`; an existing data folder
keeps its owner. A clone made by `mktemp -d` has mode 0700 and belongs to root, so that user could
not reach the data folder or the programs. Only then the child also gets CAP_DAC_OVERRIDE, which
bypasses permission checks, and no other right of root.
"""

import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path

from payments_local.children import RunAs
from payments_local.errors import LocalError

CANDIDATES = ("postgres", "nobody")


def unprivileged(data_dir: Path, must_reach: Iterable[Path]) -> RunAs | None:
    """Return the user to run as; None if this process is not root."""
    if os.geteuid() != 0:
        return None
    uid, gid = _owner_of(data_dir) or _first_candidate()
    closed = any(not _open_to_all(path) for path in must_reach)
    return RunAs(uid, gid, enter_any_folder=closed)


def give(path: Path, owner: RunAs | None) -> None:
    """Give one of our folders to the user that Postgres runs as."""
    if owner is not None:
        os.chown(path, owner.uid, owner.gid)


def _owner_of(data_dir: Path) -> tuple[int, int] | None:
    try:
        status = data_dir.stat()
    except FileNotFoundError:
        return None
    return (status.st_uid, status.st_gid) if status.st_uid != 0 else None


def _first_candidate() -> tuple[int, int]:
    for name in CANDIDATES:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return account.pw_uid, account.pw_gid
    raise LocalError(
        "PostgreSQL refuses to run as root and there is no user 'postgres' or 'nobody':"
        " run make as a user that is not root"
    )


def _open_to_all(path: Path) -> bool:
    """Return whether every user may reach it and enter or run it."""
    path = path.resolve()
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))
