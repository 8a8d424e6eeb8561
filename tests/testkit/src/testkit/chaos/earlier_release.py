"""The source of the release before this one, as a rollout meets it: old code, new schema."""

import io
import os
import subprocess
import zipfile
from pathlib import Path

from payments_local.settings import REPOSITORY

PACKAGES = ("payments-core", "payments-api", "recon-worker")
COMMITS_BACK = 40


def git(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """What git says of this repository; its status is for the caller to judge."""
    return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, check=False)


def newest_release() -> str | None:
    """The newest release's tag behind us."""
    tags = git("tag", "--list", "v[0-9]*", "--sort=-v:refname", "--merged", "HEAD").stdout
    return next(iter(tags.decode().split()), None)


def earlier_commit() -> str | None:
    """EARLIER from the environment, or the newest release.

    Before the first release: what stood some commits ago. None where git knows of neither.
    """
    commit = os.environ.get("EARLIER") or newest_release() or f"HEAD~{COMMITS_BACK}"
    missing = git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}").returncode
    return None if missing else commit


def unpack(commit: str, folder: Path) -> str:
    """Put that commit's source there; returns the PYTHONPATH under which its modules run."""
    sources = [f"{package}/src" for package in PACKAGES]
    # Not tar: Debian 12's Python has no safe way to unpack it.
    archive = git("archive", "--format=zip", commit, *sources)
    archive.check_returncode()
    with zipfile.ZipFile(io.BytesIO(archive.stdout)) as files:
        files.extractall(folder)
    return os.pathsep.join(str(folder / source) for source in sources)
