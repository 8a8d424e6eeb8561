"""Copies of the working tree, whose code runs with the packages of .venv."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
SOURCES = (
    "payments-core/src",
    "payments-api/src",
    "recon-worker/src",
    "payments-ui/src",
    "deploy/local",
    "tests/testkit/src",
)


def copy_tree(tree: Path) -> None:
    """Copy every file that git tracks or would track, uncommitted changes included."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    (tree / ".venv").symlink_to(ROOT / ".venv")


def environment_of(tree: Path) -> dict[str, str]:
    """Return the variables under which Python imports our packages from the copy."""
    # PYTHONPATH comes before the editable installs, which lead to ROOT.
    sources = os.pathsep.join(str(tree / source) for source in SOURCES)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return inherited | {"PYTHONPATH": sources, "PYTHONDONTWRITEBYTECODE": ""}
