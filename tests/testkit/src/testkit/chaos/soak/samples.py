"""Samples of the system from outside: memory, sizes, bloat, queue, latencies."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, quantiles

import psutil
from benchmarks.processes import busy_seconds, family_busy_seconds

from testkit.chaos.load.steady import SteadyLoad
from testkit.database.sql import Sql

# Finished jobs are pruned and head rows updated, so the size of these tables must stay constant.
STEADY = ("recon_jobs", "accounts")
# These grow by a fixed size for each payment.
NEVER_PRUNED = ("payments", "reconciliation_results", "ledger_entries", "ledger_seals")
MEGABYTE = 2**20
# Measuring bloat reads whole indexes. Small tables are measured twice a minute, growing ones less
# and less often, because a cost that rises with each sample would itself be a rising load.
BLOAT_EACH_SAMPLES, KEPT_BLOAT_EACH_SAMPLES = 6, 18
INDEX_BYTES_MIN = MEGABYTE  # A smaller index has too few pages to judge.
LOOK = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
        AND application_name <> 'chaos') AS connections,
       (SELECT count(*) FROM recon_jobs WHERE status IN ('pending', 'processing')) AS depth,
       coalesce((SELECT extract(epoch FROM now() - min(run_at)) FROM recon_jobs
        WHERE status = 'pending'), 0)::float8 AS oldest_seconds"""
SIZES = """
SELECT relname, pg_table_size(relid) AS table_bytes, pg_indexes_size(relid) AS index_bytes,
       n_live_tup AS live, n_dead_tup AS dead
FROM pg_stat_user_tables"""
PREPARE_BLOAT = "CREATE EXTENSION IF NOT EXISTS pgstattuple"
FREE = """
SELECT relname, (approx_free_percent + dead_tuple_percent) / 100 AS share
FROM pg_stat_user_tables, pgstattuple_approx(relid) WHERE relname = ANY ($1::text[])"""
DENSITY = """
SELECT indexrelname AS name, avg_leaf_density / 100 AS share
FROM pg_stat_user_indexes, pgstatindex(indexrelid)
WHERE relname = ANY ($1::text[]) AND pg_relation_size(indexrelid) >= $2::bigint"""
SETTLED = """
SELECT id, extract(epoch FROM settled_at - created_at)::float8 AS seconds
FROM payments WHERE id = ANY ($1::uuid[])"""


@dataclass
class Sampler:
    """Collects samples in `taken`, one flat mapping of numbers each; times are from `begun`."""

    sql: Sql
    load: SteadyLoad
    processes: Mapping[str, int]  # pid by the service's name.
    postgres_pid: int
    accepted_before: int  # Payments that existed when the load began.
    taken: list[dict[str, float]] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)
    _accepted: int = 0
    _used: dict[str, float] = field(default_factory=dict)
    _at: float = field(default_factory=time.monotonic)

    async def take(self) -> None:
        """Take one sample."""
        now = time.monotonic()
        sample: dict[str, float] = {"seconds": now - self.begun}
        sample |= self._rates(now)
        latencies, self.load.latencies = self.load.latencies, []
        sample |= _percentiles("answered_milliseconds", latencies)
        sample |= _percentiles("settled_milliseconds", await self._settled_after())
        look = await self.sql.fetchrow(LOOK)
        assert look is not None
        for name, pid in self.processes.items():
            process = psutil.Process(pid)
            sample[f"memory_megabytes {name}"] = process.memory_info().rss / MEGABYTE
            sample[f"open_files {name}"] = process.num_fds()
        private = private_bytes(self.postgres_pid)
        # The mean, because a pool may open another connection; their number is sampled too.
        sample["memory_megabytes each postgres process"] = mean(private) / MEGABYTE
        sample["connections"] = look["connections"]
        sample["queue_depth"] = look["depth"]
        sample["oldest_job_seconds"] = look["oldest_seconds"]
        sample |= await self._sizes()
        if len(self.taken) % BLOAT_EACH_SAMPLES == 0:
            sample |= await self._bloat(STEADY)
        if len(self.taken) % KEPT_BLOAT_EACH_SAMPLES == 0:
            sample |= await self._bloat(NEVER_PRUNED)
        self.taken.append(sample)

    def _rates(self, now: float) -> dict[str, float]:
        """Return payments per second, and processor time for each, since the last sample."""
        accepted, used = self.load.accepted, self._processor_seconds()
        since = accepted - self._accepted
        rates = {"accepted_per_second": since / (now - self._at)}
        if self._used and since:
            for name, seconds in used.items():
                each = (seconds - self._used[name]) / since
                rates[f"processor_microseconds {name}"] = each * 1e6
        self._accepted, self._at, self._used = accepted, now, used
        return rates

    def _processor_seconds(self) -> dict[str, float]:
        used = {name: busy_seconds(psutil.Process(pid)) for name, pid in self.processes.items()}
        return used | {"postgres": family_busy_seconds(self.postgres_pid)}

    async def _sizes(self) -> dict[str, float]:
        stored = max(1, self.accepted_before + self.load.accepted)
        sizes = {"megabytes of other tables": 0.0}
        for row in await self.sql.fetch(SIZES):
            name, table, index = row["relname"], row["table_bytes"], row["index_bytes"]
            if name in STEADY:
                sizes[f"table_megabytes {name}"] = table / MEGABYTE
                sizes[f"index_megabytes {name}"] = index / MEGABYTE
            elif name in NEVER_PRUNED:
                sizes[f"table_bytes_per_payment {name}"] = table / stored
                sizes[f"index_bytes_per_payment {name}"] = index / stored
            else:
                sizes["megabytes of other tables"] += (table + index) / MEGABYTE
            if name in STEADY + NEVER_PRUNED:
                rows = row["live"] + row["dead"]
                sizes[f"dead_share {name}"] = row["dead"] / rows if rows else 0.0
        return sizes

    async def _bloat(self, tables: Sequence[str]) -> dict[str, float]:
        """Return the dead share of the tables, and how full their indexes' leaves are."""
        free = await self.sql.fetch(FREE, tables)
        density = await self.sql.fetch(DENSITY, tables, INDEX_BYTES_MIN)
        found = {f"free_share {row['relname']}": float(row["share"]) for row in free}
        return found | {f"leaf_density {row['name']}": float(row["share"]) for row in density}

    async def _settled_after(self) -> list[float]:
        """Return the times from stored to settled of the followed payments that have settled."""
        ids, self.load.followed = self.load.followed, []
        rows = await self.sql.fetch(SETTLED, ids)
        self.load.followed += [str(row["id"]) for row in rows if row["seconds"] is None]
        return [row["seconds"] for row in rows if row["seconds"] is not None]


def private_bytes(postmaster_pid: int) -> list[int]:
    """Return the private memory of each Postgres process, without the shared buffers.

    Not the unique set size: it counts a shared page as private until a second process touches it,
    and so rises until all shared buffers have been used.
    """
    postmaster = psutil.Process(postmaster_pid)
    private = []
    for process in (postmaster, *postmaster.children(recursive=True)):
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except (psutil.Error, OSError):
            continue  # The session has just ended.
        if found := re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE):
            private.append(int(found[1]) * 1024)
    return private


def _percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    if len(seconds) < 2:
        return {}
    cuts = quantiles(seconds, n=100)
    return {f"{name} p50": cuts[49] * 1000, f"{name} p99": cuts[98] * 1000}
