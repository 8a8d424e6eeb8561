"""No statement of the worker reads a whole table, for any of the planner's estimates."""

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from payments_core.db.engine import server_settings
from payments_core.queue import jobs, maintenance
from recon_worker.reconciliation.post import POST
from testkit.database.backlog import Sql

ROWS = 50_000
SEED = f"""
INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount, currency,
                      description)
SELECT gen_random_uuid(), 'key-' || n, sha256(n::text::bytea), 'acc_' || n % 1000, 1.00, 'USD', ''
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO recon_jobs (payment_id) SELECT id FROM payments;
-- Nothing is known of the tables yet, whatever earlier tests left behind.
DELETE FROM pg_statistic WHERE starelid IN ('payments'::regclass, 'recon_jobs'::regclass)"""

MOSTLY_DONE = "UPDATE recon_jobs SET status = 'completed' WHERE id % 100 <> 0"

TOKEN = "'00000000-0000-0000-0000-000000000001'"
IDS = f"'{{{','.join(map(str, range(1, 501)))}}}'"
PAYMENT_IDS = f"'{{{','.join(str(UUID(int=n)) for n in range(1, 501))}}}'"
OUTCOMES = f"'{{{','.join('1' * 500)}}}'"
STATEMENTS = {
    "claim": (jobs.CLAIM.format(limit=500), f"{TOKEN}, 'worker', 10, 0, '-infinity', 0"),
    "complete": (jobs.COMPLETE, f"{IDS}, {TOKEN}"),
    "renew": (jobs.RENEW, f"{IDS}, {TOKEN}, 10"),
    "hand back": (jobs.HAND_BACK, f"{IDS}, {TOKEN}"),
    "hand back leases": (jobs.HAND_BACK_LEASES, f"ARRAY[{TOKEN}]::uuid[]"),
    "retry or bury": (jobs.RETRY_OR_BURY, f"{IDS}, {TOKEN}, 'error', 1"),
    "rescue": (maintenance.RESCUE, ""),
    "post": (
        POST,
        f"{PAYMENT_IDS}, {IDS}, {OUTCOMES},"
        " '{completed}', '{completed}', '{true}', '{NULL}', '{Reconciled}', 'sys:clearing:00'",
    ),
}


@pytest.fixture
async def ours(sql: Sql, worker_url_of_database: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """A connection with the settings that every connection of ours has."""
    await sql.execute(SEED)
    connection = await asyncpg.connect(
        worker_url_of_database, server_settings=server_settings("test")
    )
    yield connection
    await connection.close()


async def _whole_table_scans(connection: Any) -> dict[str, str]:
    found = {}
    for name, (statement, arguments) in STATEMENTS.items():
        await connection.execute(f"PREPARE statement AS {statement}")
        execute = f"EXECUTE statement({arguments})" if arguments else "EXECUTE statement"
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {execute}"))
        await connection.execute("DEALLOCATE statement")
        tables = ("recon_jobs", "payments", "ledger_entries", "accounts")
        if any(f"Seq Scan on {table}" in plan for table in tables):
            found[name] = plan
    return found


async def test_no_statement_reads_a_whole_table_with_or_without_statistics(
    sql: Sql, ours: "asyncpg.Connection[Any]"
) -> None:
    assert await _whole_table_scans(ours) == {}, "a backlog, nothing analysed"
    await sql.execute("ANALYZE payments, recon_jobs")
    assert await _whole_table_scans(ours) == {}, "a backlog, analysed"
    await sql.execute(MOSTLY_DONE)
    assert await _whole_table_scans(ours) == {}, "mostly done, statistics of before"
    await sql.execute("ANALYZE payments, recon_jobs")
    assert await _whole_table_scans(ours) == {}, "mostly done, analysed"


async def test_pruning_looks_at_no_more_jobs_than_it_may_delete(
    sql: Sql, ours: "asyncpg.Connection[Any]"
) -> None:
    await sql.execute(MOSTLY_DONE)
    await sql.execute("ANALYZE recon_jobs")
    await ours.execute(f"PREPARE prune AS {maintenance.PRUNE}")
    assert await _most_jobs_scanned(ours) <= 1, "all are young"
    await sql.execute(
        "UPDATE recon_jobs SET created_at = now() - interval '2 h',"
        " updated_at = now() - interval '2 h'"
    )
    assert await _most_jobs_scanned(ours) == maintenance.PRUNE_JOBS_MAX, "all are old"


async def _most_jobs_scanned(ours: "asyncpg.Connection[Any]") -> float:
    plan = await ours.fetch("EXPLAIN (ANALYZE, TIMING off, FORMAT text) EXECUTE prune(3600)")
    lines = [row[0] for row in plan]
    scanned = [line for line in lines if re.search("Scan.* (using|on) recon_jobs", line)]
    assert scanned
    assert not [line for line in lines if "Seq Scan on recon_jobs" in line]
    return max(
        float(rows) for line in scanned for rows in re.findall(r"actual rows=([\d.]+)", line)
    )
