"""Payments created per second over HTTP, beside routes that do nothing.

One is a route of the API itself, with all that stands around its routes; the other an app of
its own, with nothing around it: what Quart and Hypercorn leave.
"""

import asyncio
import re
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import empty, process, running_api, wrk_path
from payments_local.ports import free_port
from payments_local.postgres import EmbeddedPostgres

CONNECTIONS = 32
POST = ("-s", str(Path(__file__).with_name("create.lua")))


def measure(server: EmbeddedPostgres, seconds: int, repeats: int) -> dict[str, object]:
    """Requests per second of all three, taken in turns; the ratios are of medians."""
    wrk = wrk_path()
    if wrk is None:
        return {"skipped": "wrk is not installed (Debian's package is called wrk)"}
    asyncio.run(empty(server.url))
    port = free_port()
    bare, nothing, creating = [], [], []
    with (
        process("benchmarks.do_nothing", str(port), ready=f"http://127.0.0.1:{port}/readyz"),
        running_api(server.url.replace("postgres@", "payments_api@")) as api,
    ):
        for _ in range(repeats):
            bare.append(_wrk(wrk, f"http://127.0.0.1:{port}/", seconds, POST))
            nothing.append(_wrk(wrk, f"{api}/livez", seconds))
            creating.append(_wrk(wrk, f"{api}/payments", seconds, POST))
    return {
        "connections": CONNECTIONS,
        "bare_quart_per_second": [rate for rate, _ in bare],
        "do_nothing_per_second": [rate for rate, _ in nothing],
        "create_per_second": [rate for rate, _ in creating],
        "create_p99_milliseconds": statistics.median(p99 for _, p99 in creating),
        "ratio_to_do_nothing": _median(creating) / _median(nothing),
        "ratio_to_bare_quart": _median(creating) / _median(bare),
    }


def _median(measured: list[tuple[float, float]]) -> float:
    return statistics.median(rate for rate, _ in measured)


def _wrk(wrk: str, address: str, seconds: int, script: Sequence[str] = ()) -> tuple[float, float]:
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency"]
    out = subprocess.run(
        [*command, *script, address], capture_output=True, text=True, check=True
    ).stdout
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: .*", out)
    if errors:
        raise RuntimeError(f"{address}: {errors.group()}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", out)
    assert rate, out
    assert p99, out
    return float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]]
