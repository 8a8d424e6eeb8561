"""A bank's statements against our ledger: import a day, match it, and match a long history.

The day is a camt.053 of 100,000 entries: nine tenths name a payment of ours, one tenth are traps
with the amount of an open entry and no reference. Each is imported and matched with the commands of
the product, on a small ledger and on a grown one. Then a million lines meet the whole grown ledger.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import asyncpg

from benchmarks import dataset
from benchmarks.contest import Contender, Contest, Figures
from benchmarks.databases import durable_postgres, until_false, with_database
from benchmarks.effort import Effort
from benchmarks.load import CREATE, requests_per_second
from benchmarks.parts.statements import camt
from benchmarks.processes import PeakMemory, as_role, running_api, running_worker
from payments_api.migrate import migrate
from payments_local.postgres import running_postgres, throwaway_folder

LINES = 100_000
TRAPS = LINES // 10
SECONDS_MAX = {"import": 15, "match a day": 30, "match a history": 300}
MEBIBYTES_MAX = 150
SMALL, GROWN = "small", "grown"
SOURCE = ("--account", "DE89370400440532013000", "--currency", "USD")

BESIDE_SECONDS = 8
NOT_IMPORTED = "SELECT EXISTS (SELECT FROM statement_files WHERE status <> 'accepted')"

# Tables of a source's statements and matches; the ledger stays.
FORGET = """
TRUNCATE recon_breaks, match_legs, recon_matches, recon_runs, recon_days, open_entries, recon_cuts,
    statement_lines, statements, statement_file_chunks, statement_files"""
# All entries but the last are history: already matched, and no longer open.
SKIP_HISTORY = """
INSERT INTO recon_cuts (source_id, entry_id, updated_at)
SELECT recon_sources.id, (SELECT id FROM ledger_entries WHERE entry_type = 'clearing'
                          ORDER BY id DESC OFFSET $1 LIMIT 1), '-infinity'
FROM recon_sources"""
NEWEST = """
SELECT replace(id::text, '-', '') AS reference, amount FROM payments ORDER BY id DESC LIMIT $1"""
MANY_LINES = (
    """
INSERT INTO statement_files (id, source_id, sha256, chunks_sha256, size_bytes, status, actor,
                             decided_at)
SELECT gen_random_uuid(), id, sha256('many'), sha256('many'), 1, 'accepted', 'loader', now()
FROM recon_sources""",
    """
INSERT INTO statements (source_id, file_id, number, kind, from_on, to_on, opening, closing, net,
                        entry_count, line_count)
SELECT source_id, statement_files.id, 1, 'statement', current_date - 1, current_date - 1, 0,
       of_all.net, of_all.net, of_all.lines, of_all.lines
FROM statement_files, (SELECT sum(amount) AS net, count(*) AS lines FROM (
    SELECT amount FROM payments ORDER BY id LIMIT $1) AS first) AS of_all""",
    """
INSERT INTO statement_lines (statement_id, source_id, line_no, part_no, amount, currency, booked_on,
    end_to_end, reversal, booking, fingerprint, occurrence, status)
SELECT statements.id, source_id, row_number() OVER (ORDER BY payment.id), 0, amount, 'USD',
       current_date - 1, replace(payment.id::text, '-', ''), false, 'booked',
       sha256(convert_to(payment.id::text, 'UTF8')), 1, 'unmatched'
FROM statements, (SELECT id, amount FROM payments ORDER BY id LIMIT $1) AS payment""",
    "VACUUM ANALYZE statement_lines",
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is imported and matched."""

    lines: int
    small: int
    grown: int
    many: int  # Lines that meet the whole grown ledger.

    @classmethod
    def of(cls, effort: Effort) -> "Sizes":
        """Return the sizes of a run; a quick one matches a hundredth."""
        lines = LINES if effort.repeats > 1 else LINES // 100
        return cls(
            lines, 2 * max(lines, 10_000), effort.grown_payments, effort.grown_payments // 10
        )


def measure(effort: Effort) -> Figures:
    """Return seconds and peak memory of each, and payments' rate alone and beside an import."""
    sizes, repeats = Sizes.of(effort), effort.repeats
    with throwaway_folder() as folder, tempfile.TemporaryDirectory() as files:
        with running_postgres(folder, settings=dataset.LOAD_SETTINGS) as server:
            for name, payments in ((SMALL, sizes.small), (GROWN, sizes.grown)):
                asyncio.run(_make(with_database(server.url, name), payments))
        os.sync()  # Loading did not wait for the disk.
        with durable_postgres(folder) as server:
            urls = {name: with_database(server.url, name) for name in (SMALL, GROWN)}
            days = {name: Day(url, Path(files) / f"{name}.xml") for name, url in urls.items()}
            for day in days.values():
                asyncio.run(day.write(sizes.lines))
            contest = Contest("seconds").run(
                [
                    Contender(
                        f"a day, {name} ledger of {of:,} payments",
                        lambda day=days[name]: day.sample(sizes),
                    )
                    for name, of in ((SMALL, sizes.small), (GROWN, sizes.grown))
                ],
                repeats,
            )
            beside = days[SMALL].beside_payments(sizes)
            history = _match_history(urls[GROWN], sizes)
    return {
        **contest.figures(),
        "lines": sizes.lines,
        "traps": sizes.lines // 10,
        "payments": {SMALL: sizes.small, GROWN: sizes.grown},
        "payments_beside_import": beside,
        "history": {"lines": sizes.many, "entries": sizes.grown, **history},
        "seconds_max": SECONDS_MAX,
        "mebibytes_max": MEBIBYTES_MAX,
    }


@dataclass(frozen=True, slots=True)
class Day:
    """One database, and its bank's statement file of one day."""

    url: str
    file: Path

    async def write(self, lines: int) -> None:
        """Write the file: the newest payments by reference, but traps for a tenth of them."""
        sql = await asyncpg.connect(self.url)
        newest = await sql.fetch(NEWEST, lines)
        await sql.close()
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        entries = [
            (f"TRAP-{number:09}" if number % 10 == 0 else row["reference"], row["amount"])
            for number, row in enumerate(newest)
        ]
        with self.file.open("w") as file:
            file.writelines(camt(entries, "USD", yesterday))

    def sample(self, sizes: Sizes) -> Mapping[str, float]:
        """Import the day and match it; every reference is matched, and no trap."""
        asyncio.run(_forget(self.url, skip=sizes.lines))
        imported, _ = _command(self.url, "statements", "import", str(self.file))
        matched, run = _command(self.url, "reconcile", "run")
        expected = {"reference": sizes.lines - sizes.lines // 10}
        if run["counts"]["matches"] != expected:
            raise RuntimeError(f"expected {expected}, not {run['counts']}")
        return {
            "import_seconds": imported["seconds"],
            "import_mebibytes": imported["mebibytes"],
            "match_seconds": matched["seconds"],
            "match_mebibytes": matched["mebibytes"],
        }

    def beside_payments(self, sizes: Sizes) -> Mapping[str, float]:
        """Return payments created per second alone and beside an import by the worker."""
        asyncio.run(_forget(self.url, skip=sizes.lines))
        with running_api(self.url) as api, running_worker(self.url):
            addresses = [f"{api}/payments"]
            requests_per_second(addresses, 1, script=CREATE, SET="warm")
            alone = requests_per_second(addresses, BESIDE_SECONDS, script=CREATE, SET="alone")
            upload = Request(f"{api}/statements?source=bank", self.file.read_bytes(), method="POST")
            with urlopen(upload) as answer:
                assert answer.status == 202, answer.status
            begun = time.perf_counter()
            beside = requests_per_second(addresses, BESIDE_SECONDS, script=CREATE, SET="beside")
            asyncio.run(until_false(self.url, NOT_IMPORTED))
            seconds = time.perf_counter() - begun
        rates = {"alone": alone["per_second"], "beside": beside["per_second"]}
        return {**rates, "ratio": rates["beside"] / rates["alone"], "import_seconds": seconds}


def _match_history(url: str, sizes: Sizes) -> Mapping[str, float]:
    async def prepare() -> None:
        await _forget(url, skip=None)
        sql = await asyncpg.connect(url)
        await sql.execute("SET session_replication_role = replica")
        for statement in MANY_LINES:
            arguments = (sizes.many,) if "$1" in statement else ()
            await sql.execute(statement, *arguments)
        await sql.close()

    asyncio.run(prepare())
    first_day = datetime.now(UTC).date() - timedelta(days=dataset.DAYS + 1)
    # As of the first day, so that the entries without a line are pending and no breaks.
    matched, run = _command(url, "reconcile", "run", "--as-of", first_day.isoformat())
    if run["counts"]["matches"] != {"reference": sizes.many}:
        raise RuntimeError(f"expected {sizes.many:,} matches, not {run['counts']}")
    return matched


async def _make(url: str, payments: int) -> None:
    server_url, _, name = url.rpartition("/")
    sql = await asyncpg.connect(f"{server_url}/postgres")
    await sql.execute(f"CREATE DATABASE {name} TEMPLATE template1")
    await sql.close()
    await migrate(url)
    await dataset.load(url, payments)
    _recon_worker(url, "sources", "add", "bank", *SOURCE)


async def _forget(url: str, *, skip: int | None) -> None:
    """Empty the source, and make all entries but the newest `skip` history; None makes none so."""
    sql = await asyncpg.connect(url)
    await sql.execute("SET session_replication_role = replica")
    await sql.execute(FORGET)
    if skip is not None:
        await sql.execute(SKIP_HISTORY, skip)
    await sql.execute("CHECKPOINT")
    await sql.close()


def _command(url: str, *command: str) -> tuple[Mapping[str, float], dict[str, Any]]:
    """Run a command on the source; return its seconds, peak memory and output."""
    arguments = (*command, "--source", "bank") if command[0] == "statements" else (*command, "bank")
    begun = time.perf_counter()
    running = subprocess.Popen(
        _argv(*arguments, "--json"), env=_environ(url), stdout=subprocess.PIPE, text=True
    )
    with PeakMemory(command=running.pid) as memory:
        printed, _ = running.communicate()
    seconds = time.perf_counter() - begun
    if running.returncode:
        raise RuntimeError(f"{command} ended with status {running.returncode}: {printed}")
    return {
        "seconds": seconds,
        "mebibytes": memory.megabytes["command"] * 1e6 / 2**20,
    }, json.loads(printed)


def _recon_worker(url: str, *arguments: str) -> None:
    subprocess.run(_argv(*arguments), env=_environ(url), check=True, stdout=subprocess.DEVNULL)


def _argv(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "recon_worker", *arguments]


def _environ(url: str) -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": as_role(url, "worker")}
