"""What the system looks like from outside at one moment: memory, sizes, queue, latencies."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

import psutil
from backlog import Sql

from payments_chaos.steady_load import SteadyLoad

TABLES = (
    "payments",
    "recon_jobs",
    "reconciliation_results",
    "ledger_entries",
    "accounts",
)
# Finished jobs are pruned and head rows updated; these only grow, by so much for each payment.
KEPT_FOR_EVER = ("payments", "reconciliation_results", "ledger_entries")
MEGABYTE = 2**20
LOOK = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
        AND application_name <> 'chaos') AS connections,
       (SELECT count(*) FROM recon_jobs WHERE status IN ('pending', 'processing')) AS depth,
       coalesce((SELECT extract(epoch FROM now() - min(run_at)) FROM recon_jobs
        WHERE status = 'pending'), 0)::float8 AS oldest_seconds"""
SIZES = """
SELECT relname, pg_table_size(relid) AS table_bytes, pg_indexes_size(relid) AS index_bytes,
       n_live_tup AS live, n_dead_tup AS dead
FROM pg_stat_user_tables WHERE relname = ANY ($1::text[])"""
SETTLED = """
SELECT extract(epoch FROM settled_at - created_at)::float8 AS seconds
FROM payments WHERE id = ANY ($1::uuid[])"""


@dataclass
class Sampler:
    """Samples gather in `taken`, one flat mapping of numbers each; times are from `begun`."""

    sql: Sql
    load: SteadyLoad
    processes: Mapping[str, int]  # pid by the service's name.
    postgres_pid: int
    accepted_before: int  # Payments that were there when the load began.
    taken: list[dict[str, float]] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)
    _accepted: int = 0
    _at: float = field(default_factory=time.monotonic)

    async def take(self) -> None:
        """Look once."""
        now = time.monotonic()
        look = await self.sql.fetchrow(LOOK)
        assert look is not None
        sample: dict[str, float] = {"seconds": now - self.begun}
        for name, pid in self.processes.items():
            sample[f"memory_megabytes {name}"] = psutil.Process(pid).memory_info().rss / MEGABYTE
        sample["memory_megabytes postgres"] = private_bytes(self.postgres_pid) / MEGABYTE
        sample["connections"] = look["connections"]
        sample["queue_depth"] = look["depth"]
        sample["oldest_job_seconds"] = look["oldest_seconds"]
        kept = 0
        for row in await self.sql.fetch(SIZES, list(TABLES)):
            name = row["relname"]
            sample[f"table_megabytes {name}"] = row["table_bytes"] / MEGABYTE
            sample[f"index_megabytes {name}"] = row["index_bytes"] / MEGABYTE
            kept += row["table_bytes"] + row["index_bytes"] if name in KEPT_FOR_EVER else 0
            rows = row["live"] + row["dead"]
            sample[f"dead_share {name}"] = row["dead"] / rows if rows else 0.0
        stored = self.accepted_before + self.load.accepted
        sample["bytes_per_payment"] = kept / stored if stored else 0.0
        latencies, self.load.latencies = self.load.latencies, []
        sample |= _percentiles("answered_milliseconds", latencies)
        sample |= _percentiles("settled_milliseconds", await self._settled_after())
        sample["accepted_per_second"] = (self.load.accepted - self._accepted) / (now - self._at)
        self._accepted, self._at = self.load.accepted, now
        self.taken.append(sample)

    async def _settled_after(self) -> list[float]:
        """Of the followed payments: from stored to settled. Those still pending wait."""
        ids, self.load.followed = self.load.followed, []
        rows: list[Any] = await self.sql.fetch(SETTLED, ids)
        return [row["seconds"] for row in rows if row["seconds"] is not None]


def private_bytes(postmaster_pid: int) -> int:
    """What Postgres' processes have for themselves; the shared buffers are counted by nobody."""
    postmaster = psutil.Process(postmaster_pid)
    total = 0
    for process in (postmaster, *postmaster.children(recursive=True)):
        try:
            total += process.memory_full_info().uss
        except psutil.Error:
            continue  # A session that has just ended.
    return total


def _percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    if len(seconds) < 2:
        return {}
    cuts = quantiles(seconds, n=100)
    return {f"{name} p50": cuts[49] * 1000, f"{name} p99": cuts[98] * 1000}
