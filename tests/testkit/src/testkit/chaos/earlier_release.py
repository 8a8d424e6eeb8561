"""The source of the previous release, for rollouts: old code on the new schema."""

import io
import os
import subprocess
import zipfile
from pathlib import Path

from payments_local.settings import REPOSITORY

PACKAGES = ("payments-core", "payments-api", "recon-worker")
COMMITS_BACK = 40


def git(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """Run git in this repository and return the process; the caller checks its status."""
    return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, check=False)


def newest_release() -> str | None:
    """Return the newest release's tag before this commit."""
    tags = git("tag", "--list", "v[0-9]*", "--sort=-v:refname", "--merged", "HEAD").stdout
    return next(iter(tags.decode().split()), None)


def earlier_commit() -> str | None:
    """Return EARLIER from the environment, or the newest release.

    Before the first release: a commit some steps back. None if git knows neither.
    """
    commit = os.environ.get("EARLIER") or newest_release() or f"HEAD~{COMMITS_BACK}"
    missing = git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}").returncode
    return None if missing else commit


def knows_reversals(commit: str) -> bool:
    """Return whether that commit's services create and settle reversals."""
    return _has(commit, "payments-api/src/payments_api/reversals")


def knows_webhooks(commit: str) -> bool:
    """Return whether that commit's workers send webhooks."""
    return _has(commit, "recon-worker/src/recon_worker/webhooks")


def _has(commit: str, path: str) -> bool:
    return git("cat-file", "-e", f"{commit}:{path}").returncode == 0


def unpack(commit: str, folder: Path) -> str:
    """Unpack that commit's source; return the PYTHONPATH for its modules."""
    sources = [f"{package}/src" for package in PACKAGES]
    # Not tar: Debian 12's Python cannot unpack it safely.
    archive = git("archive", "--format=zip", commit, *sources)
    archive.check_returncode()
    with zipfile.ZipFile(io.BytesIO(archive.stdout)) as files:
        files.extractall(folder)
    return os.pathsep.join(str(folder / source) for source in sources)
