"""python -m demo: run the local system under a realistic load until Ctrl-C.

Its database is temporary. A bank sends statements of some of its payments. Workers are killed now
and then, and payments of one account fail, which causes retries and dead letters. With --preview
FOLDER: on free ports, for --seconds, followed by a picture of each dashboard from Prometheus, which
must be installed.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx

from demo.bank import open_bank
from demo.load import run_load
from demo.prometheus import program, prometheus_server
from demo.system import Running, let_settlements_fail, running_system
from payments_local.errors import LocalError
from payments_local.ports import free_port, refuse_taken
from payments_local.postgres import throwaway_folder

PROMETHEUS_PORT = 9090


def main() -> None:
    """Read the arguments, run, clean up; exit with status 1 and one line if it cannot start."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=40.0, help="payments a second")
    parser.add_argument("--seconds", type=float, help="end after so many seconds")
    parser.add_argument(
        "--data-dir",
        type=Path,
        help="a folder that keeps the demo's data (default: a temporary one)",
    )
    parser.add_argument("--preview", type=Path, help="where the pictures go")
    parser.add_argument("--painter", default=sys.executable, help="a Python with matplotlib")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt):
            _demonstrate(arguments)
    except LocalError as error:
        raise SystemExit(f"error: {error}") from None


def _demonstrate(arguments: argparse.Namespace) -> None:
    preview = bool(arguments.preview)
    if program() is None and preview:
        raise LocalError("Prometheus is not installed (Debian: apt install prometheus)")
    if program() is not None and not preview:
        refuse_taken({"PROMETHEUS_PORT": _prometheus_port()})
    with ExitStack() as stack:
        folder = stack.enter_context(throwaway_folder())
        environ = {"DATA_DIR": str(arguments.data_dir or folder / "data")}
        system = stack.enter_context(running_system(environ | (_free_ports() if preview else {})))
        _fill_bank(system)
        let_settlements_fail(system.settings)
        prometheus_url = _start_prometheus(stack, system, folder, preview=preview)
        _work(system, arguments.rate, arguments.seconds)
        ended = time.time()
        if preview and prometheus_url:
            begun = ended - (arguments.seconds or 60)
            _paint(arguments.painter, prometheus_url, arguments.preview, begun, ended)


def _fill_bank(system: Running) -> None:
    """Let the demo's bank send its statements; the page shows them under Statements."""
    try:
        asyncio.run(open_bank(f"http://127.0.0.1:{system.settings.api_port}"))
    except (httpx.HTTPError, TimeoutError) as error:
        print(f"The demo's bank sent no statement: {error!r}", flush=True)


def _free_ports() -> dict[str, str]:
    return {name: str(free_port()) for name in ("API_PORT", "UI_PORT", "WORKER_PORT", "PG_PORT")}


def _prometheus_port() -> int:
    return int(os.environ.get("PROMETHEUS_PORT") or PROMETHEUS_PORT)


def _start_prometheus(
    stack: ExitStack, system: Running, folder: Path, *, preview: bool
) -> str | None:
    if program() is None:
        print("Prometheus is not installed: nothing is recorded (Debian: apt install prometheus)")
        return None
    port = free_port() if preview else _prometheus_port()
    prometheus = stack.enter_context(prometheus_server(system.targets(), folder, port))
    print(f"Prometheus: {prometheus.url}", flush=True)
    return prometheus.url


def _work(system: Running, rate: float, seconds: float | None) -> None:
    api = f"http://127.0.0.1:{system.settings.api_port}"
    ui = f"http://127.0.0.1:{system.settings.ui_port}"
    print(
        f"\nThe demo creates about {rate:.0f} payments a second in a database of its own and kills"
        f" workers now and then.\nThe first dead letters appear within a minute: {ui}/operate."
        " Ctrl-C stops it.\n",
        flush=True,
    )
    with suppress(TimeoutError):
        asyncio.run(_for_a_while(run_load(api, ui, rate), seconds))


async def _for_a_while(work: Coroutine[Any, Any, None], seconds: float | None) -> None:
    async with asyncio.timeout(seconds):
        await work


def _paint(painter: str, prometheus_url: str, folder: Path, begun: float, ended: float) -> None:
    script = Path(__file__).with_name("paint.py")
    command = [painter, str(script), prometheus_url, str(folder), f"{begun:.0f}", f"{ended:.0f}"]
    subprocess.run(command, check=True)  # noqa: S603 - our own


if __name__ == "__main__":
    main()
