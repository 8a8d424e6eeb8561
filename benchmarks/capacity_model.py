"""Capacity model: the machines that a number of payments a day needs, and its first bottleneck.

    python -m benchmarks.capacity_model --measure   bytes and processor time of one payment
    python -m benchmarks.capacity_model             the tables of docs/scale.md
    python -m benchmarks.capacity_model --write     the same, written into docs/scale.md

Figures come from benchmarks/results/*.json; each line of the first table names its own.
"""

import argparse
import asyncio
import math
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from benchmarks.backlog import UNSETTLED
from benchmarks.databases import durable_postgres, fill, until_false
from benchmarks.processes import family_busy_seconds, running_worker
from benchmarks.results import figures_of, save

DOCUMENT = Path(__file__).parents[1] / "docs" / "scale.md"
BEGIN, END = "<!-- capacity: begin -->", "<!-- capacity: end -->"

SECONDS_PER_DAY = 86_400
PEAK_TO_MEAN = 3.0  # Load varies over a day; many banks plan with 2.5 to 4.
BUSY_SHARE_MAX = (
    0.6  # Use of a process or a core at the peak; above it, queueing delay grows quickly.
)
PRIMARY_CORES = 32  # One large primary.
WAL_MEGABYTES_PER_SECOND_MAX = (
    200.0  # Sustained write-ahead log, written, archived and sent to two replicas.
)
HOT_DAYS = 90  # Kept online; older partitions are archived.
PRIMARY_TERABYTES_MAX = 8.0  # Restorable within a few hours.
LEVELS = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
MEASURED_PAYMENTS = 50_000

TABLES = ("payments", "recon_jobs", "reconciliation_results", "ledger_entries", "accounts")


@dataclass(frozen=True)
class Measured:
    """The measured throughput of one process and cost of one payment."""

    create_per_second: float  # One API process over HTTP.
    settle_per_second: float  # One worker process over a backlog.
    hot_account_per_second: float  # Two of them, all on one account.
    bytes_per_payment: float  # Of all tables and indexes, settled.
    wal_bytes_per_payment: float
    postgres_seconds_per_payment: float  # Processor time of Postgres, creating and settling.


@dataclass(frozen=True)
class Needed:
    """The resources that a number of payments a day needs."""

    per_day: int
    peak_per_second: float
    api_processes: int
    worker_processes: int
    postgres_cores: float
    wal_megabytes_per_second: float
    gigabytes_per_day: float
    primaries: int
    first_limit: str


def read_results() -> Measured:
    """Return the figures of the last benchmarks. Raises FileNotFoundError if one was never run."""

    created, footprint = figures_of("create")["contenders"], figures_of("footprint")
    settled = figures_of("worker")["contenders"]
    return Measured(
        create_per_second=created["payments-api, 1 process"]["per_second"]["median"],
        settle_per_second=settled["ours, 1 worker"]["per_second"]["median"],
        hot_account_per_second=settled["ours, 2 workers, hot account"]["per_second"]["median"],
        bytes_per_payment=footprint["bytes_per_payment"],
        wal_bytes_per_payment=footprint["wal_bytes_per_payment"],
        postgres_seconds_per_payment=footprint["postgres_seconds_per_payment"],
    )


def needed(per_day: int, measured: Measured) -> Needed:
    """Return the processes, cores, log, disk and primaries for `per_day` payments a day."""
    peak = per_day / SECONDS_PER_DAY * PEAK_TO_MEAN
    cores = peak * measured.postgres_seconds_per_payment
    wal = peak * measured.wal_bytes_per_payment / 1e6
    terabytes = per_day * measured.bytes_per_payment * HOT_DAYS / 1e12
    shares = {
        "primary's cores": cores / (PRIMARY_CORES * BUSY_SHARE_MAX),
        "log": wal / WAL_MEGABYTES_PER_SECOND_MAX,
        f"disk for {HOT_DAYS} days": terabytes / PRIMARY_TERABYTES_MAX,
    }
    limit, share = max(shares.items(), key=lambda item: item[1])
    return Needed(
        per_day=per_day,
        peak_per_second=peak,
        api_processes=math.ceil(peak / (measured.create_per_second * BUSY_SHARE_MAX)),
        worker_processes=math.ceil(peak / (measured.settle_per_second * BUSY_SHARE_MAX)),
        postgres_cores=cores,
        wal_megabytes_per_second=wal,
        gigabytes_per_day=per_day * measured.bytes_per_payment / 1e9,
        primaries=math.ceil(share),
        first_limit=f"{limit}: {share:.0%} of one primary",
    )


def saturation(measured: Measured) -> dict[str, float]:
    """Return the payments a day at which each resource is exhausted, at that peak and share."""
    per_peak = SECONDS_PER_DAY / PEAK_TO_MEAN
    cores = PRIMARY_CORES * BUSY_SHARE_MAX
    return {
        "one worker process": measured.settle_per_second * BUSY_SHARE_MAX * per_peak,
        "one API process": measured.create_per_second * BUSY_SHARE_MAX * per_peak,
        "one account (its payments are posted one after another)": measured.hot_account_per_second
        * BUSY_SHARE_MAX
        * per_peak,
        f"a primary's disk, {HOT_DAYS} days in {PRIMARY_TERABYTES_MAX:.0f} TB": (
            PRIMARY_TERABYTES_MAX * 1e12 / (measured.bytes_per_payment * HOT_DAYS)
        ),
        f"a primary's {PRIMARY_CORES} cores": cores
        / measured.postgres_seconds_per_payment
        * per_peak,
        f"a primary's log, {WAL_MEGABYTES_PER_SECOND_MAX:.0f} MB/s": WAL_MEGABYTES_PER_SECOND_MAX
        * 1e6
        / measured.wal_bytes_per_payment
        * per_peak,
    }


def rounded(number: float) -> str:
    """Return the number, rounded to three significant digits."""
    digits = max(0, math.floor(math.log10(number)) - 2) if number >= 1 else 0
    return f"{round(number / 10**digits) * 10**digits:,}"


def tables(measured: Measured) -> str:
    """Return the generated part of the document."""
    lines = ["| measured | figure | by |", "| --- | --- | --- |"]
    rows = (
        (
            "payments created by one API process",
            rounded(measured.create_per_second),
            "/s",
            "create",
        ),
        ("payments settled by one worker", rounded(measured.settle_per_second), "/s", "worker"),
        (
            "payments settled by two workers, all on one account",
            rounded(measured.hot_account_per_second),
            "/s",
            "worker",
        ),
        (
            "a settled payment, all tables and indexes",
            rounded(measured.bytes_per_payment),
            " bytes",
            "footprint",
        ),
        ("its log", rounded(measured.wal_bytes_per_payment), " bytes", "footprint"),
        (
            "Postgres' processor time for it",
            f"{measured.postgres_seconds_per_payment * 1e6:,.0f}",
            " µs",
            "footprint",
        ),
    )
    lines += [f"| {what} | {figure}{unit} | `{by}.json` |" for what, figure, unit, by in rows]
    lines += ["", "| used up at | payments a day |", "| --- | --- |"]
    for what, per_day in sorted(saturation(measured).items(), key=lambda item: item[1]):
        lines.append(f"| {what} | {rounded(per_day)} |")
    lines += [
        "",
        "| payments a day | peak /s | API | workers | Postgres cores | log MB/s | disk GB/day"
        " | primaries | first limit |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for level in (needed(per_day, measured) for per_day in LEVELS):
        lines.append(
            f"| {level.per_day:,} | {rounded(level.peak_per_second)} | {level.api_processes}"
            f" | {level.worker_processes} | {level.postgres_cores:.1f}"
            f" | {level.wal_megabytes_per_second:.1f} | {rounded(level.gigabytes_per_day)}"
            f" | {level.primaries} | {level.first_limit} |"
        )
    return "\n".join(lines)


def written(document: str, generated: str) -> str:
    """Return the document with its generated part replaced."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{generated}\n{END}{after}"


# --- measuring one payment ------------------------------------------------------------------------


def measure(payments: int) -> dict[str, float]:
    """Measure a payment's bytes, log and processor time, created with the API's SQL and settled."""
    with durable_postgres() as server:
        return asyncio.run(_measure(server.url, server.pgdata, payments))


async def _measure(url: str, pgdata: Path, payments: int) -> dict[str, float]:
    pid = int((pgdata / "postmaster.pid").read_text().split()[0])
    connection = await asyncpg.connect(url)
    size = "SELECT sum(pg_total_relation_size(t::regclass))::int8 FROM unnest($1::text[]) AS t"
    try:
        await connection.execute("CHECKPOINT")
        before = await connection.fetchval("SELECT pg_current_wal_lsn()")
        bytes_before = await connection.fetchval(size, list(TABLES))
        busy_before = family_busy_seconds(pid)
        await fill(url, payments, 1_000)
        with running_worker(url):
            await until_false(url, UNSETTLED, pause_seconds=0.05)
        busy = family_busy_seconds(pid) - busy_before
        log = await connection.fetchval(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), $1::pg_lsn)::float8", before
        )
        grown = await connection.fetchval(size, list(TABLES)) - bytes_before
    finally:
        await connection.close()
    return {
        "payments": payments,
        "bytes_per_payment": grown / payments,
        "wal_bytes_per_payment": log / payments,
        "postgres_seconds_per_payment": busy / payments,
    }


def main() -> None:
    """Measure, print or write, as the arguments say."""
    parser = argparse.ArgumentParser(prog="capacity_model", description=__doc__)
    parser.add_argument("--measure", action="store_true", help="keep footprint.json anew")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/scale.md")
    arguments = parser.parse_args()
    if arguments.measure:
        began = time.perf_counter()
        path = save("footprint", measure(MEASURED_PAYMENTS))
        print(f"saved as {path.name} after {time.perf_counter() - began:.0f} s")
        return
    generated = tables(read_results())
    if arguments.write:
        DOCUMENT.write_text(written(DOCUMENT.read_text(), generated))
    else:
        print(generated)


if __name__ == "__main__":
    main()
