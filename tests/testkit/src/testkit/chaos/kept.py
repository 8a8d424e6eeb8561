"""Figures kept as JSON beside those of the benchmarks, with their machine and versions."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from payments_local.settings import REPOSITORY

RESULTS = REPOSITORY / "benchmarks" / "results"
PACKAGES = ("quart", "hypercorn", "uvloop", "sqlalchemy", "asyncpg")


def save(name: str, figures: dict[str, Any]) -> Path:
    """Write benchmarks/results/NAME.json."""
    about = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[1], 1),  # Shows whether the machine had other work.
        "postgres": "embedded, fsync=on, synchronous_commit=on",
        **{package: version(package) for package in PACKAGES},
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"about": about, "figures": figures}, indent=2) + "\n")
    return path
