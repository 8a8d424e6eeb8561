"""Sizes of hot tables and indexes while millions of jobs pass, pruned as in production.

A retention of seconds replaces one of days: rows are inserted and deleted in the same way.
"""

import asyncio
from contextlib import ExitStack

from benchmarks.contest import Figures
from benchmarks.databases import audit, durable_postgres, fresh_database
from benchmarks.effort import Effort
from benchmarks.feeder import feed
from benchmarks.parts.snapshot import AUDITED_PAYMENTS_MAX
from benchmarks.processes import running_worker

RETENTION_SECONDS = 20
WORKERS = 2


def measure(effort: Effort) -> Figures:
    """Return the megabytes of each over the number of jobs."""
    with durable_postgres() as server:
        url = fresh_database(server.url, "bench")
        with ExitStack() as stack:
            for _ in range(WORKERS):
                retention = str(RETENTION_SECONDS / 86_400)
                stack.enter_context(running_worker(url, RECON_WORKER_RETENTION_DAYS=retention))
            seen = asyncio.run(feed(url, jobs=effort.bloat_jobs))
        audit(url, full=seen[-1].jobs <= AUDITED_PAYMENTS_MAX)
    relations = sorted(seen[-1].bytes)
    return {
        "jobs": seen[-1].jobs,
        "retention_seconds": RETENTION_SECONDS,
        "megabytes_at_most": {name: max(at.bytes[name] for at in seen) / 1e6 for name in relations},
        "megabytes_at_the_end": {name: seen[-1].bytes[name] / 1e6 for name in relations},
        "over_jobs": [
            {"jobs": at.jobs, **{name: at.bytes[name] / 1e6 for name in relations}} for at in seen
        ],
    }
