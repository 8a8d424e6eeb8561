"""A part's figures as JSON, with the machine and versions they were measured on."""

import json
import os
import platform
import re
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.contest import Figures
from benchmarks.databases import SETTINGS
from benchmarks.effort import Effort
from benchmarks.processes import NODE_PROGRAMS, ROOT
from payments_local.postgres import BIN

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("quart", "hypercorn", "uvloop", "sqlalchemy", "asyncpg")
PEERS = ("pgqueuer", "procrastinate", "psycopg", "fastapi", "uvicorn")
NODE_PEERS = ("graphile-worker", "pg-boss", "fastify", "pg")


def save(part: str, figures: Figures, effort: Effort | None = None) -> Path:
    """Write results/PART.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{part}.json"
    kept = {"about": about(effort), "figures": figures}
    path.write_text(json.dumps(kept, indent=2) + "\n")
    return path


def figures_of(part: str) -> Figures:
    """Return the last figures of a part. Raises FileNotFoundError if it was never run."""
    found: Figures = kept(part)["figures"]
    return found


def kept(part: str) -> dict[str, Any]:
    """Return the last figures with machine and versions."""
    found: dict[str, Any] = json.loads((RESULTS / f"{part}.json").read_text())
    return found


def about(effort: Effort | None = None) -> dict[str, Any]:
    """Return the machine, the versions and the settings."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _said("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gigabytes": round(psutil.virtual_memory().total / 1e9),
            "system": platform.platform(),
        },
        "postgres": {"version": _said(str(BIN / "postgres"), "--version"), **SETTINGS},
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in PACKAGES},
            **_locked(),
        },
        "effort": _sizes(effort) if effort else None,
    }


def print_figures(figures: Figures, indent: int = 2) -> None:
    """Print medians and single figures, without the samples."""
    for name, value in figures.items():
        if isinstance(value, dict) and "median" in value:
            print(f"{' ' * indent}{name}: {value['median']:,.2f}")
        elif isinstance(value, dict):
            print(f"{' ' * indent}{name}:")
            print_figures(value, indent + 2)
        elif isinstance(value, float):
            print(f"{' ' * indent}{name}: {value:,.2f}")
        elif not isinstance(value, list):
            print(f"{' ' * indent}{name}: {value}")


def _locked() -> dict[str, str]:
    """Return the peers' versions from their lock files."""
    lock = (ROOT / "deploy/tools/benchmarks.lock").read_text()
    found = {
        name: match[1]
        for name in PEERS
        if (match := re.search(rf"^{name}==([^ ]+)", lock, re.MULTILINE))
    }
    node = json.loads((NODE_PROGRAMS / "package-lock.json").read_text())["packages"]
    return {**found, **{name: node[f"node_modules/{name}"]["version"] for name in NODE_PEERS}}


def _processor() -> str:
    names = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return names[1] if names else platform.processor()


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _sizes(effort: Effort) -> dict[str, Any]:
    """Return the sizes without the grown database's path, which does not affect a figure."""
    return {name: size for name, size in asdict(effort).items() if name != "grown_data"}
