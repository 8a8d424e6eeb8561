"""Where the programs under test are: they are run as files, and belong to no package."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "deploy/tools"), str(ROOT / "deploy/images")]
