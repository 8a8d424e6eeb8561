"""`make up` as a child, with additional workers that are killed now and then."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from demo.load import FLAKY_ACCOUNT
from payments_local.errors import LocalError
from payments_local.ports import free_port, refuse_taken
from payments_local.postgres import BIN
from payments_local.settings import LocalSettings

REPOSITORY = Path(__file__).resolve().parents[2]
READY_SECONDS_MAX = 120.0
EXTRA_WORKERS = 2
LIFE_SECONDS = (15.0, 40.0)
DEATH_SECONDS = 5.0


# Most settlements of one account fail, as they would with a defect in a dependency.
FLAKY_SQL = f"""
CREATE OR REPLACE FUNCTION flaky() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.account_id = '{FLAKY_ACCOUNT}' AND random() < 0.9 THEN
        RAISE EXCEPTION 'a demonstration of failure';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER flaky BEFORE UPDATE ON payments FOR EACH ROW EXECUTE FUNCTION flaky();
ALTER TABLE recon_jobs ALTER COLUMN max_attempts SET DEFAULT 4;"""
# Without it, each of them prints the whole statement; workers report it in a line.
QUIET_SQL = ("ALTER SYSTEM SET log_min_messages = 'fatal'", "SELECT pg_reload_conf()")


@dataclass(frozen=True)
class Running:
    """The addresses of the running services."""

    settings: LocalSettings
    worker_ports: tuple[int, ...]

    def targets(self) -> dict[str, list[int]]:
        """Return the ports to scrape, by job."""
        return {
            "payments-api": [self.settings.api_port],
            "recon-worker": list(self.worker_ports),
            "payments-ui": [self.settings.ui_port],
        }


@contextmanager
def running_system(environ: Mapping[str, str]) -> Iterator[Running]:
    """Run the local system and `EXTRA_WORKERS` more workers until the block ends.

    DATABASE_URL is ignored: it names a database that is not a demo's. Raises LocalError if a port
    is taken, perhaps by a running system, which must not receive the load.
    """
    # A line for each request would hide the addresses.
    environ = {"LOG_LEVEL": "WARNING", **os.environ, **environ}
    environ.pop("DATABASE_URL", None)
    settings = LocalSettings.from_environ(environ)
    refuse_taken(settings.ports())
    command = [sys.executable, "-m", "payments_local", "up", "--stop-with-parent"]
    up = subprocess.Popen(command, env=environ, cwd=REPOSITORY)  # noqa: S603 - our own
    stop = threading.Event()
    workers: list[threading.Thread] = []
    try:
        _wait_until_ready(settings.ui_port, up)
        ports = [free_port() for _ in range(EXTRA_WORKERS)]
        for port in ports:
            worker_environ = {
                "LOG_FORMAT": "console",
                **environ,
                "DATABASE_URL": settings.url_for("payments_worker"),
                "RECON_WORKER_PORT": str(port),
            }
            thread = threading.Thread(target=_live_and_die, args=(worker_environ, stop))
            thread.start()
            workers.append(thread)
        yield Running(settings, (settings.worker_port, *ports))
    finally:
        stop.set()
        for thread in workers:
            thread.join()
        if up.poll() is None:
            up.send_signal(signal.SIGTERM)
        up.wait()


def let_settlements_fail(settings: LocalSettings) -> None:
    """Cause retries and dead letters, which a healthy system does not have."""
    command = [str(BIN / "psql"), settings.url_for("postgres"), "-qX", "-o", os.devnull]
    for sql in (FLAKY_SQL, *QUIET_SQL):
        command += ["-c", sql]
    subprocess.run(command, check=True)  # noqa: S603 - our own


def _live_and_die(environ: Mapping[str, str], stop: threading.Event) -> None:
    """Run a worker, kill it without warning and start another one, until stopped."""
    command = [sys.executable, "-m", "recon_worker", "run"]
    while not stop.is_set():
        worker = subprocess.Popen(command, env=dict(environ), cwd=REPOSITORY)  # noqa: S603 - our own
        stop.wait(random.uniform(*LIFE_SECONDS))  # noqa: S311 - it plays
        if stop.is_set():
            worker.terminate()
        else:
            worker.kill()
        worker.wait()
        stop.wait(DEATH_SECONDS)


def _wait_until_ready(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Return when the page that this process started is ready. Raises LocalError if it ends."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not (_has_started(process, port) and _is_ready(port)):
        if process.poll() is not None:
            raise LocalError("the local system ended before it was ready: its reason is above")
        if time.monotonic() > deadline:
            raise LocalError(f"the local system is not ready after {READY_SECONDS_MAX:.0f} s")
        time.sleep(0.2)


def _has_started(process: "subprocess.Popen[bytes]", port: int) -> bool:
    """Return whether a descendant of the process listens on the port."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
        return any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for member in family
            for connection in member.net_connections(kind="tcp")
        )
    except psutil.Error:  # One of them has just ended.
        return False


def _is_ready(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2).close()
    except OSError:
        return False
    return True
