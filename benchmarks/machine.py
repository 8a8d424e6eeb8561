"""What a benchmark runs on and against: a durable Postgres, processes of ours, wrk."""

import asyncio
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import asyncpg

from payments_api.migrate import migrate
from payments_local.ports import free_port
from payments_local.postgres import EmbeddedPostgres, running_postgres

RESULTS = Path(__file__).parent / "results"
READY_SECONDS_MAX = 60.0
PACKAGES = ("quart", "hypercorn", "uvloop", "sqlalchemy", "asyncpg")


@contextmanager
def durable_postgres() -> Iterator[EmbeddedPostgres]:
    """A throw-away server that waits for its disk: fsync and synchronous_commit are on."""
    with running_postgres(durable=True) as server:
        asyncio.run(migrate(server.url))
        yield server


@contextmanager
def process(
    module: str, *arguments: str, ready: str | None = None, **environ: str
) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m module ...`, from when its `ready` address answers 200 to the block's end."""
    running = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "LOG_LEVEL": "WARNING", "LOG_FORMAT": "console", **environ},
    )
    try:
        if ready is not None:
            _wait_until_ready(running, ready)
        yield running
    finally:
        running.terminate()
        running.wait(30)


def _wait_until_ready(running: subprocess.Popen[bytes], address: str) -> None:
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
    """payments-api on a free port; its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    ours = {"DATABASE_URL": url, "PAYMENTS_API_PORT": str(port), "PAYMENTS_API_AUTH": "off"}
    settings = {**ours, **environ}
    with process("payments_api", "serve", ready=f"{address}/readyz", **settings):
        yield address


@contextmanager
def running_worker(url: str, **environ: str) -> Iterator["subprocess.Popen[bytes]"]:
    """recon-worker with its control server on a free port."""
    port = free_port()
    settings = {"DATABASE_URL": url, "RECON_WORKER_PORT": str(port), **environ}
    ready = f"http://127.0.0.1:{port}/readyz"
    with process("recon_worker", "run", ready=ready, **settings) as running:
        yield running


async def empty(url: str) -> None:
    """Take all payments and what came of them out of the database."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SET session_replication_role = replica;"
            " TRUNCATE payments, recon_jobs, reconciliation_results, accounts, ledger_entries,"
            " workers, worker_throughput, audit_findings RESTART IDENTITY"
        )
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def fill(url: str, payments: int, accounts: int) -> None:
    """A backlog of payments and their jobs, as the API would have stored them."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            """
            WITH asked AS (
                SELECT uuidv7() AS id, 'bench-' || n AS key, 'acc_' || n % $2 AS account,
                       round((n % 5000 + 100)::numeric / 100, 2) AS amount
                FROM generate_series(1, $1::int) AS n
            ), created AS (
                INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id,
                                      amount, currency, description)
                SELECT id, key, sha256(convert_to(
                           concat_ws(chr(31), account, amount::text, 'USD', ''), 'UTF8')),
                       account, amount, 'USD', ''
                FROM asked RETURNING id
            )
            INSERT INTO recon_jobs (payment_id) SELECT id FROM created""",
            payments,
            accounts,
        )
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def audit(url: str) -> None:
    """A figure counts only if the ledger is right. Raises when an invariant is broken."""
    done = subprocess.run(
        [sys.executable, "-m", "recon_worker", "audit", "--full"],
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the auditor objects:\n{done.stdout}{done.stderr}")


def wrk_path() -> str | None:
    """Where wrk is, the load generator that costs least; Debian's package is called wrk."""
    return shutil.which("wrk")


def save(name: str, figures: dict[str, Any]) -> Path:
    """Keep the figures as JSON, with what they were measured on."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    about = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "postgres": "embedded, fsync=on, synchronous_commit=on",
        **{package: version(package) for package in PACKAGES},
    }
    path.write_text(json.dumps({"about": about, "figures": figures}, indent=2) + "\n")
    return path
