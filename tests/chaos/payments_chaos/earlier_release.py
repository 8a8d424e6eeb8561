"""The source of the release before this one, as a rollout meets it: old code, new schema."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("payments-core", "payments-api", "recon-worker")
COMMITS_BACK = 40


def _git(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)


def earlier_commit() -> str | None:
    """EARLIER from the environment, or the newest release's tag behind us.

    Before the first release: what stood some commits ago. None where git knows of neither.
    """
    tags = _git("tag", "--list", "v[0-9]*", "--sort=-v:refname", "--merged", "HEAD").stdout
    newest = tags.decode().split()[:1]
    commit = os.environ.get("EARLIER") or (newest[0] if newest else f"HEAD~{COMMITS_BACK}")
    missing = _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}").returncode
    return None if missing else commit


def unpack(commit: str, folder: Path) -> str:
    """Put that commit's source there; returns the PYTHONPATH under which its modules run."""
    sources = [f"{package}/src" for package in PACKAGES]
    archive = _git("archive", commit, *sources)
    archive.check_returncode()
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return os.pathsep.join(str(folder / source) for source in sources)
