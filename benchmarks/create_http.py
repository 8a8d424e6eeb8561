"""Payments created per second over HTTP, beside a route that does nothing on the same server."""

import re
import statistics
import subprocess
from pathlib import Path

from benchmarks.machine import process, running_api, wrk_path
from payments_local.ports import free_port
from payments_local.postgres import EmbeddedPostgres

CONNECTIONS = 32
SCRIPT = Path(__file__).with_name("create.lua")


def measure(server: EmbeddedPostgres, seconds: int, repeats: int) -> dict[str, object]:
    """Requests per second of both, taken in turns; medians and their ratio."""
    wrk = wrk_path()
    if wrk is None:
        return {"skipped": "wrk is not installed (Debian's package is called wrk)"}
    port = free_port()
    nothing, creating = [], []
    with (
        process("benchmarks.do_nothing", str(port), ready=f"http://127.0.0.1:{port}/readyz"),
        running_api(server.url.replace("postgres@", "payments_api@")) as api,
    ):
        for _ in range(repeats):
            nothing.append(_wrk(wrk, f"http://127.0.0.1:{port}/", seconds))
            creating.append(_wrk(wrk, f"{api}/payments", seconds))
    return {
        "connections": CONNECTIONS,
        "do_nothing_per_second": [rate for rate, _ in nothing],
        "create_per_second": [rate for rate, _ in creating],
        "create_p99_milliseconds": statistics.median(p99 for _, p99 in creating),
        "ratio": _median(creating) / _median(nothing),
    }


def _median(measured: list[tuple[float, float]]) -> float:
    return statistics.median(rate for rate, _ in measured)


def _wrk(wrk: str, address: str, seconds: int) -> tuple[float, float]:
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(SCRIPT)]
    out = subprocess.run([*command, address], capture_output=True, text=True, check=True).stdout
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: .*", out)
    if errors:
        raise RuntimeError(f"{address}: {errors.group()}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", out)
    assert rate, out
    assert p99, out
    return float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]]
