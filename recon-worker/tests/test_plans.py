"""No statement of the worker reads a whole table, for any of the planner's estimates."""

import re
from uuid import UUID

import pytest

from payments_core.queue import jobs, maintenance
from recon_worker.reconciliation.post import POST
from testkit.database.plans import forget_statistics, whole_table_scans
from testkit.database.sql import Sql

ROWS = 50_000
TABLES = ("recon_jobs", "payments", "reversals", "ledger_entries", "accounts")
SEED = f"""
INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount, currency,
                      description)
SELECT gen_random_uuid(), 'key-' || n, sha256(n::text::bytea), 'acc_' || n % 1000, 1.00, 'USD', ''
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO recon_jobs (payment_id) SELECT id FROM payments;
SET session_replication_role = replica;
INSERT INTO reversals (id, idempotency_key, request_fingerprint, payment_id, account_id, currency,
                       source, amount, reason)
SELECT gen_random_uuid(), id::text, sha256(''), id, account_id, currency, source, 1, 'r'
FROM payments LIMIT {ROWS // 3};
SET session_replication_role = DEFAULT;
INSERT INTO recon_jobs (reversal_id) SELECT id FROM reversals"""

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
        " '{completed}', '{completed}', '{true}', '{NULL}', '{Reconciled}', '00',"
        f" {PAYMENT_IDS}, {IDS}, {IDS}",
    ),
}


@pytest.fixture
async def ours(sql: Sql, worker_connection: Sql) -> Sql:
    """Return a connection of the worker to a database with many rows."""
    await sql.execute(SEED)
    await forget_statistics(sql, ("payments", "recon_jobs", "reversals"))
    return worker_connection


async def test_no_statement_reads_a_whole_table_with_or_without_statistics(
    sql: Sql, ours: Sql
) -> None:
    assert await whole_table_scans(ours, STATEMENTS, TABLES) == {}, "a backlog, nothing analysed"
    await sql.execute("ANALYZE payments, recon_jobs, reversals")
    assert await whole_table_scans(ours, STATEMENTS, TABLES) == {}, "a backlog, analysed"
    await sql.execute(MOSTLY_DONE)
    assert await whole_table_scans(ours, STATEMENTS, TABLES) == {}, (
        "mostly completed, outdated statistics"
    )
    await sql.execute("ANALYZE payments, recon_jobs, reversals")
    assert await whole_table_scans(ours, STATEMENTS, TABLES) == {}, "mostly completed, analysed"


async def test_pruning_reads_at_most_as_many_jobs_as_it_may_delete(sql: Sql, ours: Sql) -> None:
    await sql.execute(MOSTLY_DONE)
    await sql.execute("ANALYZE recon_jobs")
    await ours.execute(f"PREPARE prune AS {maintenance.PRUNE}")
    assert await _most_jobs_scanned(ours) <= 1, "all are young"
    await sql.execute(
        "UPDATE recon_jobs SET created_at = now() - interval '2 h',"
        " updated_at = now() - interval '2 h'"
    )
    assert await _most_jobs_scanned(ours) == maintenance.PRUNE_JOBS_MAX, "all are old"


async def _most_jobs_scanned(ours: Sql) -> float:
    plan = await ours.fetch("EXPLAIN (ANALYZE, TIMING off, FORMAT text) EXECUTE prune(3600)")
    lines = [row[0] for row in plan]
    scanned = [line for line in lines if re.search("Scan.* (using|on) recon_jobs", line)]
    assert scanned
    assert not [line for line in lines if "Seq Scan on recon_jobs" in line]
    return max(
        float(rows) for line in scanned for rows in re.findall(r"actual rows=([\d.]+)", line)
    )
