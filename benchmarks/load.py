"""HTTP load with wrk, which uses the least processor time; Debian's package is named wrk."""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.processes import Absent

CREATE = "load_create.lua"
BATCH = "load_batch.lua"
READ = "load_read.lua"
MILLISECONDS = {"us": 0.001, "ms": 1, "s": 1000}


def requests_per_second(
    addresses: Sequence[str],
    seconds: float,
    *,
    connections: int = 32,
    script: str | None = None,
    **environ: str,
) -> Mapping[str, float]:
    """Return requests per second over all addresses, and the slowest one's p50 and p99 in ms.

    Each address is a separate process, with its own wrk and its share of the connections. Raises
    RuntimeError if any answer is not a success, and Absent without wrk.
    """
    command = [
        wrk_path(),
        "-t1",
        f"-c{max(1, connections // len(addresses))}",
        # wrk accepts whole seconds only.
        f"-d{max(1, round(seconds))}s",
        "--latency",
        *(("-s", str(Path(__file__).with_name(script))) if script else ()),
    ]
    started = [
        subprocess.Popen(
            [*command, address], stdout=subprocess.PIPE, text=True, env={**environ, "RUN": str(n)}
        )
        for n, address in enumerate(addresses)
    ]
    measured = [_read(*pair) for pair in zip(addresses, started, strict=True)]
    return {
        "per_second": sum(rate for rate, _, _ in measured),
        "p50_milliseconds": max(p50 for _, p50, _ in measured),
        "p99_milliseconds": max(p99 for _, _, p99 in measured),
    }


def wrk_path() -> str:
    """Return the path of wrk. Raises Absent."""
    found = shutil.which("wrk")
    if found is None:
        raise Absent("wrk is not installed")
    return found


def _read(address: str, running: "subprocess.Popen[str]") -> tuple[float, float, float]:
    printed, _ = running.communicate(timeout=120)
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: .*", printed)
    if errors or running.returncode:
        raise RuntimeError(f"{address}: {errors.group() if errors else printed}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    assert rate, printed
    return float(rate[1]), _latency(printed, 50), _latency(printed, 99)


def _latency(printed: str, percent: int) -> float:
    found = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", printed)
    assert found, printed
    return float(found[1]) * MILLISECONDS[found[2]]
