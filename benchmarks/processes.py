"""The processes under test, ours and the peers': each is started for one sample."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import psutil

from payments_local.ports import free_port

ROOT = Path(__file__).parents[1]
PEERS_PYTHON = ROOT / ".cache/tools/benchmarks/bin/python"
CAMT_READERS_PYTHON = ROOT / ".cache/tools/camt-readers/bin/python"
NODE_PROGRAMS = ROOT / "benchmarks/peers/node"
READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 60.0

# Few log lines: they are not part of the measured work.
OURS = {"LOG_LEVEL": "WARNING", "LOG_FORMAT": "console"}


class Absent(Exception):
    """The program or its dependencies are not installed here."""


@contextmanager
def process(
    command: Sequence[str | Path], *, ready: str | None = None, piped: bool = False, **environ: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for the block, which begins when its `ready` address answers 200."""
    running = subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **OURS, **environ},
        stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
        stdout=subprocess.PIPE if piped else None,
    )
    try:
        if ready is not None:
            _wait_until_ready(running, ready)
        yield running
    finally:
        if running.returncode is None:
            end(running)


def end(running: "subprocess.Popen[bytes]") -> bytes:
    """Stop a program, by SIGKILL if it does not end by itself; return its output."""
    running.terminate()
    try:
        printed, _ = running.communicate(timeout=STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        running.kill()
        raise
    return printed or b""


def _wait_until_ready(running: "subprocess.Popen[bytes]", address: str) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        if running.poll() is not None:
            raise RuntimeError(f"it ended with status {running.returncode} before it was ready")
        try:
            with urlopen(address, timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"{address} did not answer within {READY_SECONDS_MAX:.0f} s")


@contextmanager
def running_api(url: str, **environ: str) -> Iterator[str]:
    """Run payments-api on a free port; yield its address."""
    with api_process(url, **environ) as (address, _):
        yield address


@contextmanager
def api_process(url: str, **environ: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Run payments-api on a free port; yield its address and process."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    settings = {"DATABASE_URL": as_role(url, "api"), "PAYMENTS_API_PORT": str(port)}
    settings |= {"PAYMENTS_API_AUTH": "off", **environ}
    command = [sys.executable, "-m", "payments_api", "serve"]
    with process(command, ready=f"{address}/readyz", **settings) as running:
        yield address, running


@contextmanager
def running_worker(url: str, **environ: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run recon-worker with its control server on a free port, without the background auditor."""
    port = free_port()
    settings = {
        "DATABASE_URL": as_role(url, "worker"),
        "RECON_WORKER_PORT": str(port),
        "RECON_WORKER_AUDIT_INTERVAL_SECONDS": "0",
        **environ,
    }
    command = [sys.executable, "-m", "recon_worker", "run"]
    with process(command, ready=f"http://127.0.0.1:{port}/readyz", **settings) as running:
        yield running


def as_role(url: str, service: str) -> str:
    """Return the URL with the service's production role."""
    return url.replace("postgres@", f"payments_{service}@")


def peer_command(name: str) -> list[str | Path]:
    """Return the command for benchmarks/peers/NAME. Raises Absent without its dependencies."""
    if name.endswith(".js"):
        if not (NODE_PROGRAMS / "node_modules").exists():
            raise Absent("node or npm is not installed")
        return ["node", NODE_PROGRAMS / name]
    if not PEERS_PYTHON.exists():
        raise Absent("its packages are not installed")
    return [PEERS_PYTHON, "-m", f"benchmarks.peers.{name}"]


def peer_run(name: str, *arguments: str, **environ: str) -> None:
    """Run a command of a peer's program until it exits."""
    subprocess.run(
        [str(part) for part in (*peer_command(name), *arguments)],
        cwd=ROOT,
        env={**os.environ, **environ},
        check=True,
        stdout=subprocess.DEVNULL,
    )


@contextmanager
def peer_worker(
    name: str, kind: str, url: str, **environ: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a peer's worker that has printed `ready` and waits for `go`."""
    command = [*peer_command(name), "work", kind]
    with process(command, piped=True, DATABASE_URL=url, **environ) as running:
        assert running.stdout is not None
        if running.stdout.readline().strip() != b"ready":
            raise RuntimeError(f"{name} did not start")
        yield running


def go(running: "subprocess.Popen[bytes]") -> None:
    """Start the work of a peer's waiting worker."""
    assert running.stdin is not None
    running.stdin.write(b"go\n")
    running.stdin.flush()


def busy_seconds(process: psutil.Process) -> float:
    """Return the processor time of one process."""
    times = process.cpu_times()
    return float(times.user + times.system)


def family_busy_seconds(pid: int) -> float:
    """Return the processor time of a process and its children, including ended ones."""
    parent = psutil.Process(pid)
    ended = parent.cpu_times()
    total = float(ended.children_user + ended.children_system)
    for process in (parent, *parent.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # It has just exited.
            total += busy_seconds(process)
    return total


class PeakMemory:
    """The peak memory of processes and their children during the block."""

    def __init__(self, **pids: int) -> None:
        self.megabytes = dict.fromkeys(pids, 0.0)
        self._pids = pids
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.2):
            for name, pid in self._pids.items():
                with suppress(psutil.NoSuchProcess):
                    of_it = psutil.Process(pid)
                    family = [of_it, *of_it.children(recursive=True)]
                    now = sum(member.memory_info().rss for member in family) / 1e6
                    self.megabytes[name] = max(self.megabytes[name], now)
