"""The same work on a small and on a grown database, in turns on one server.

The small database is recreated from its template each turn. The grown one is read into the cache
first: the part measures how the work grows, not this machine's disk.
"""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import asyncpg

from benchmarks import dataset
from benchmarks.backlog import settle_backlog
from benchmarks.contest import Contest, Figures
from benchmarks.databases import (
    audit,
    durable_postgres,
    fresh_database,
    one_value,
    with_database,
)
from benchmarks.effort import Effort
from benchmarks.load import CREATE, READ, requests_per_second
from benchmarks.processes import running_api
from payments_api.migrate import migrate
from payments_core.db.engine import create_engine
from payments_local.postgres import running_postgres, throwaway_folder
from recon_worker.audit.auditor import audit as look_at_news
from recon_worker.sealing.background import Sealer

SMALL, GROWN = "small_template", "grown"
SMALL_PAYMENTS = 10_000
ACCOUNTS = 1_000  # Accounts of the new payments.
BACKLOG_PER_SECOND = 8_000
READ_CONNECTIONS = 4

# Time in Postgres for one job, by the statement's purpose, which is recognised by its text.
WORKER_STATEMENTS = """
SELECT CASE WHEN query LIKE '%FOR UPDATE SKIP LOCKED%' AND query LIKE '%attempts%' THEN 'claim'
            ELSE 'post' END AS what, sum(total_exec_time)::float8 AS milliseconds
FROM pg_stat_statements
JOIN pg_database ON pg_database.oid = dbid JOIN pg_roles ON pg_roles.oid = userid
WHERE datname = current_database() AND rolname = 'payments_worker'
GROUP BY 1"""


@dataclass(frozen=True, slots=True)
class Sized:
    """One of the two databases."""

    name: str
    payments: int

    def fresh(self, server_url: str) -> str:
        """Return the URL; recreate the small database first."""
        if self.name == SMALL:
            return fresh_database(server_url, "small", SMALL)
        return with_database(server_url, self.name)


def measure(effort: Effort) -> Figures:
    """Return each operation's figure on both, and the ratio: above 1 if the grown one is slower."""
    sizes = [Sized(SMALL, SMALL_PAYMENTS), Sized(GROWN, effort.grown_payments)]
    with _grown_folder(effort) as folder:
        loaded = _load(folder, sizes)
        _read(folder)
        with durable_postgres(folder) as server:
            contests = {name: Contest(unit) for name, unit in OPERATIONS.items()}
            for turn in range(effort.repeats):
                for size in sizes:
                    print(f"  {turn + 1}/{effort.repeats}  {size.payments:,} payments", flush=True)
                    for name, value in _operations(size, server.url, effort.seconds / 2):
                        samples = contests[name].samples
                        samples.setdefault(f"{size.payments:,}", []).append({"value": value})
                        print(f"      {name:<32} {value:,.1f} {OPERATIONS[name]}", flush=True)
    small, grown = (f"{size.payments:,}" for size in sizes)
    return {
        "payments": {"small": SMALL_PAYMENTS, "grown": effort.grown_payments},
        "entries": {"small": 2 * SMALL_PAYMENTS, "grown": 2 * effort.grown_payments},
        "load": loaded,
        "operations": {
            name: {**contest.figures(), "times_slower": _times_slower(contest, small, grown)}
            for name, contest in contests.items()
        },
    }


OPERATIONS = {
    "create": "requests/s",
    "claim and post": "jobs/s",
    "claim": "µs of Postgres a job",
    "post": "µs of Postgres a job",
    "list, first page": "requests/s",
    "list, deep": "requests/s",
    "list, failed": "requests/s",
    "list, discrepancies": "requests/s",
    "payments of an account": "requests/s",
    "balance": "requests/s",
    "balance at a moment": "requests/s",
    "ledger entries of an account": "requests/s",
    "audit of new rows": "ms",
}


def _times_slower(contest: Contest, small: str, grown: str) -> float | None:
    ratio = contest.ratio(grown, small)
    return ratio if ratio is None or not contest.unit.endswith("/s") else 1 / ratio


def _operations(size: Sized, server_url: str, seconds: float) -> Iterator[tuple[str, float]]:
    url = size.fresh(server_url)
    audit(url, full=False)  # Only new entries: earlier turns have verified the rest.
    with running_api(url) as api:
        created = requests_per_second([f"{api}/payments"], seconds, script=CREATE)
        yield "create", created["per_second"]
        accounts = str(size.payments // dataset.PAYMENTS_PER_ACCOUNT)
        for name, path in _reads(api).items():
            measured = requests_per_second(
                [f"{api}{path}"],
                seconds / 2,
                connections=READ_CONNECTIONS,
                script=READ,
                ACCOUNTS=accounts,
            )
            yield name, measured["per_second"]
    yield from _settle(url, max(2_000, int(seconds * BACKLOG_PER_SECOND)))
    yield "audit of new rows", 1000 * asyncio.run(_audit_seconds(url))
    audit(url, full=size.name == SMALL)


def _reads(api: str) -> dict[str, str]:
    """Return paths by name; ACCOUNT stands for any account, the deep page is among the oldest."""
    oldest_days = time.gmtime(time.time() - (dataset.DAYS - 1) * 86_400)
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", oldest_days)
    with urlopen(f"{api}/payments?limit=50&createdTo={until}") as answer:
        cursor = json.load(answer)["nextCursor"]
    assert cursor, "the loader spreads its payments over many days"
    deep = f"/payments?limit=50&createdTo={until}&cursor={quote(cursor)}"
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 40 * 86_400))
    return {
        "list, first page": "/payments?limit=50",
        "list, deep": deep,
        "list, failed": "/payments?limit=50&status=failed",
        "list, discrepancies": "/payments?limit=50&discrepancy=true",
        "payments of an account": "/payments?limit=50&accountId=ACCOUNT",
        "balance": "/accounts/ACCOUNT/balance",
        "balance at a moment": f"/accounts/ACCOUNT/balance?at={moment}",
        "ledger entries of an account": "/accounts/ACCOUNT/entries?limit=50",
    }


def _settle(url: str, jobs: int) -> Iterator[tuple[str, float]]:
    """Settle the created payments, then a timed backlog."""
    settle_backlog(url, 1, 1, 1)
    before = asyncio.run(_spent(url))
    took = settle_backlog(url, 1, jobs, ACCOUNTS)
    spent = asyncio.run(_spent(url))
    yield "claim and post", jobs / took
    for what in ("claim", "post"):
        yield what, 1000 * (spent[what] - before.get(what, 0.0)) / jobs


async def _spent(url: str) -> dict[str, float]:
    connection = await asyncpg.connect(url)
    try:
        return dict(await connection.fetch(WORKER_STATEMENTS))
    finally:
        await connection.close()


async def _audit_seconds(url: str) -> float:
    engine = create_engine(url, application_name="benchmark", pool_size=2)
    try:
        begun = time.perf_counter()
        findings = await look_at_news(engine, "incremental")
        took = time.perf_counter() - begun
    finally:
        await engine.dispose()
    if findings is None or any(found.offending for found in findings):
        raise RuntimeError(f"the auditor objects: {findings}")
    return took


# --- the databases --------------------------------------------------------------------------------


@contextmanager
def _grown_folder(effort: Effort) -> Iterator[Path]:
    if effort.grown_data is None:
        with throwaway_folder() as folder:
            yield folder
        return
    folder = Path(effort.grown_data).absolute()
    folder.mkdir(mode=0o711, exist_ok=True)
    yield folder


def _load(folder: Path, sizes: list[Sized]) -> dict[str, float]:
    """Create both databases unless an earlier run has kept them; audit the small one."""
    took: dict[str, float] = {}
    with running_postgres(folder, settings=dataset.LOAD_SETTINGS) as server:
        for size in sizes:
            url = with_database(server.url, size.name)
            begun = time.perf_counter()
            there = one_value(server.url, "SELECT 1 FROM pg_database WHERE datname = $1", size.name)
            asyncio.run(migrate(url) if there else _make(server.url, size))
            asyncio.run(_seal(url))
            if not there:
                took[f"{size.payments:,} payments, seconds"] = time.perf_counter() - begun
                print(f"  {size.payments:,} payments loaded", flush=True)
    os.sync()  # Loading did not wait for the disk.
    return took


async def _make(server_url: str, size: Sized) -> None:
    """Create it under a temporary name until complete, so that an interrupted run leaves none."""
    connection = await asyncpg.connect(with_database(server_url, "postgres"))
    try:
        await connection.execute("DROP DATABASE IF EXISTS loading WITH (FORCE)")
        await connection.execute("CREATE DATABASE loading TEMPLATE template1")
        url = with_database(server_url, "loading")
        await migrate(url)
        await dataset.load(url, size.payments)
        loaded = await asyncpg.connect(url)
        await loaded.execute("CREATE EXTENSION pg_stat_statements")
        await loaded.close()
        await connection.execute(f"ALTER DATABASE loading RENAME TO {size.name}")
    finally:
        await connection.close()


async def _seal(url: str) -> None:
    """Seal all entries that no seal covers yet, as workers do continuously."""
    engine = create_engine(url, application_name="benchmark", pool_size=2)
    try:
        await Sealer(engine, keys=(), interval_seconds=0, verify_entries_per_second=0).round()
    finally:
        await engine.dispose()


def _read(folder: Path) -> None:
    """Read every file into the page cache."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                while opened.read(1 << 20):
                    pass
