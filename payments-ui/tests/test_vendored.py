"""Third-party files are exactly those of VENDORED.md."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "vendor_assets.py"


def test_vendored_files_are_those_listed() -> None:
    subprocess.run([sys.executable, str(SCRIPT), "--check"], check=True, timeout=60)
