"""`make up` as a child, and beside it workers of ours that die now and then."""

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

from demo.load import FLAKY_ACCOUNT
from payments_local.ports import free_port
from payments_local.postgres import BIN
from payments_local.settings import LocalSettings

REPOSITORY = Path(__file__).resolve().parents[2]
READY_SECONDS_MAX = 120.0
EXTRA_WORKERS = 2
LIFE_SECONDS = (15.0, 40.0)
DEATH_SECONDS = 5.0


# Most settlements of one account fail, as if something beside us were broken now and then.
FLAKY_SQL = f"""
CREATE FUNCTION flaky() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.account_id = '{FLAKY_ACCOUNT}' AND random() < 0.6 THEN
        RAISE EXCEPTION 'a demonstration of failure';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER flaky BEFORE UPDATE ON payments FOR EACH ROW EXECUTE FUNCTION flaky();
ALTER TABLE recon_jobs ALTER COLUMN max_attempts SET DEFAULT 4;"""


@dataclass(frozen=True)
class Running:
    """Where everything listens."""

    settings: LocalSettings
    worker_ports: tuple[int, ...]

    def targets(self) -> dict[str, list[int]]:
        """The ports to scrape, by job."""
        return {
            "payments-api": [self.settings.api_port],
            "recon-worker": list(self.worker_ports),
            "payments-ui": [self.settings.ui_port],
        }


@contextmanager
def running_system(environ: Mapping[str, str]) -> Iterator[Running]:
    """The local system with `EXTRA_WORKERS` more workers; everything ends with the block."""
    environ = {**os.environ, **environ}
    settings = LocalSettings.from_environ(environ)
    command = [sys.executable, "-m", "payments_local", "up", "--stop-with-parent"]
    up = subprocess.Popen(command, env=environ, cwd=REPOSITORY)  # noqa: S603 - our own
    stop = threading.Event()
    workers: list[threading.Thread] = []
    try:
        _wait_until_ready(settings.ui_port, up)
        ports = [free_port() for _ in range(EXTRA_WORKERS)]
        for port in ports:
            worker_environ = {
                **environ,
                "DATABASE_URL": settings.url_for("payments_worker"),
                "RECON_WORKER_PORT": str(port),
                "LOG_LEVEL": "WARNING",
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
    """For a throw-away database: retries and dead letters, which a healthy system has not."""
    command = [str(BIN / "psql"), settings.url_for("postgres"), "-qXc", FLAKY_SQL]
    subprocess.run(command, check=True)  # noqa: S603 - our own


def _live_and_die(environ: Mapping[str, str], stop: threading.Event) -> None:
    """Run a worker, kill it without warning and start another one, until stopped."""
    command = [sys.executable, "-m", "recon_worker", "run"]
    while not stop.is_set():
        worker = subprocess.Popen(command, env=dict(environ), cwd=REPOSITORY)  # noqa: S603
        stop.wait(random.uniform(*LIFE_SECONDS))  # noqa: S311 - it plays
        if stop.is_set():
            worker.terminate()
        else:
            worker.kill()
        worker.wait()
        stop.wait(DEATH_SECONDS)


def _wait_until_ready(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2).close()
        except OSError:
            pass
        else:
            return
        if process.poll() is not None:
            raise SystemExit(process.returncode or 1)  # It has said why.
        if time.monotonic() > deadline:
            raise SystemExit("the local system is not ready")
        time.sleep(0.2)
