"""The cost of an idle API and worker: processor time and statements."""

import time

import psutil

from benchmarks.contest import Figures
from benchmarks.databases import durable_postgres, fresh_database, one_value
from benchmarks.effort import Effort
from benchmarks.processes import api_process, busy_seconds, running_worker

SETTLE_SECONDS = 5.0  # Excludes the work of starting.
OURS = """
SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
JOIN pg_database ON pg_database.oid = dbid JOIN pg_roles ON pg_roles.oid = userid
WHERE datname = current_database() AND rolname IN ('payments_api', 'payments_worker')"""


def measure(effort: Effort) -> Figures:
    """Return percent of one core and statements per second, with the auditor and all else on."""
    with durable_postgres() as server:
        url = fresh_database(server.url, "bench")
        one_value(url, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        with (
            api_process(url) as (_, api),
            running_worker(url, RECON_WORKER_AUDIT_INTERVAL_SECONDS="60") as worker,
        ):
            processes = {"api": psutil.Process(api.pid), "worker": psutil.Process(worker.pid)}
            time.sleep(min(SETTLE_SECONDS, effort.idle_seconds))
            before = {name: busy_seconds(process) for name, process in processes.items()}
            statements, begun = _statements(url), time.perf_counter()
            time.sleep(effort.idle_seconds)
            took = time.perf_counter() - begun
            percent = {
                name: 100 * (busy_seconds(process) - before[name]) / took
                for name, process in processes.items()
            }
            per_second = (_statements(url) - statements) / took
    return {
        "seconds": took,
        "core_percent": {**percent, "together": sum(percent.values())},
        "statements_per_second": per_second,
    }


def _statements(url: str) -> int:
    counted = one_value(url, OURS)
    assert isinstance(counted, int)
    return counted
