"""A large database, like one after years of use: settled payments with exact balances.

Bulk SQL inserts the rows: indexes and foreign keys are dropped first and recreated from their own
definitions afterwards. Every value is a closed form of the payment's number, so the inserts need
no sort and no join; `recon-worker audit --full` accepts the result.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

TABLES = ("payments", "ledger_entries", "reconciliation_results", "recon_jobs", "accounts")
PAYMENTS_MULTIPLE_OF = 10_000  # Divides evenly among accounts and clearing accounts.
PAYMENTS_PER_ACCOUNT = 100
CLEARING_ACCOUNTS = 10
DAYS = 90  # The payments spread over them; the last one was an hour ago.
RETENTION_DAYS = 7  # Of finished jobs: the default of `RECON_WORKER_RETENTION_DAYS`.

# Loading does not wait for the disk; `durable_postgres` starts on the same folder after everything
# has been written. With wal_level=minimal, a table filled in the transaction that truncated it
# writes no log.
LOAD_SETTINGS = {
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "16GB",
    "shared_buffers": "1GB",
    "maintenance_work_mem": "1GB",
    "max_parallel_maintenance_workers": "1",
    "autovacuum": "off",
}

_MOMENT = f"""
    bench_begin() + ({DAYS} * 86400000::bigint / $1::bigint) * i * interval '1 millisecond'"""

# Derived from a payment's number: its time, a UUIDv7 of that time, its amount in cents.
_PAYMENT = f"""
    SELECT i, i % ($1::int / {PAYMENTS_PER_ACCOUNT}) AS account, made_at,
           (lpad(to_hex((extract(epoch FROM made_at) * 1000)::bigint), 12, '0')
            || '70008' || lpad(to_hex(i), 15, '0'))::uuid AS id,
           (100 + i % 100) * 0.01 AS amount
    FROM (SELECT i, {_MOMENT} AS made_at FROM generate_series({{first}}, $1::int - 1) AS i) AS n
    OFFSET 0"""  # An optimisation fence: the expressions are evaluated once.
_ALL = _PAYMENT.format(first="0")
_RECENT = _PAYMENT.format(first=f"$1::int - $1::bigint * {RETENTION_DAYS} / {DAYS}")

FILL_PAYMENTS = f"""
INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount, currency,
                      description, status, created_at, updated_at, settled_at)
SELECT id, md5(i::text), sha256(convert_to(
           concat_ws(chr(31), 'acc_' || account, amount::text, 'USD', ''), 'UTF8')),
       'acc_' || account, amount, 'USD', '', 'completed', made_at,
       made_at + interval '20 ms', made_at + interval '20 ms'
FROM ({_ALL}) AS payment"""

FILL_RESULTS = f"""
INSERT INTO reconciliation_results (payment_id, recon_job_id, status, matched,
                                    discrepancy_amount, notes, rule_version, created_at)
SELECT id, i + 1, CASE WHEN i % 100 = 13 THEN 'completed_with_discrepancy' ELSE 'completed' END,
       i % 100 <> 13, CASE WHEN i % 100 = 13 THEN 0.13 END,
       CASE WHEN i % 100 = 13 THEN 'Discrepancy of 0.13 detected' ELSE 'Reconciled' END,
       1, made_at + interval '20 ms'
FROM ({_ALL}) AS payment"""

FILL_JOBS = f"""
INSERT INTO recon_jobs (id, payment_id, status, attempts, run_at, locked_by, locked_at, created_at,
                        updated_at)
OVERRIDING SYSTEM VALUE
SELECT i + 1, id, 'completed', 1, made_at, 'loader', made_at, made_at, made_at + interval '20 ms'
FROM ({_RECENT}) AS payment"""

# An account always receives the same amount, so its balance is a product. A clearing account
# serves a range of payments, and its balance is the sum of a sawtooth of 100 amounts.
FILL_ENTRIES = f"""
INSERT INTO ledger_entries (payment_id, account_id, currency, entry_type, direction, amount,
                            account_seq, balance_after, created_at)
SELECT id, leg.account_id, 'USD', leg.entry_type, leg.direction, amount, leg.account_seq,
       leg.balance_after, made_at + interval '20 ms'
FROM ({_ALL}) AS payment, LATERAL (VALUES
    ('acc_' || account, 'payment', 'credit', i / ($1::int / {PAYMENTS_PER_ACCOUNT}) + 1,
     (i / ($1::int / {PAYMENTS_PER_ACCOUNT}) + 1) * amount),
    ('sys:clearing:' || lpad((i / ($1::int / {CLEARING_ACCOUNTS}))::text, 2, '0'), 'clearing',
     'debit', i % ($1::int / {CLEARING_ACCOUNTS}) + 1,
     -bench_sum(i % ($1::int / {CLEARING_ACCOUNTS})))
) AS leg (account_id, entry_type, direction, account_seq, balance_after)"""

# Shared by every statement of a load.
FUNCTIONS = f"""
CREATE FUNCTION bench_begin() RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
SELECT to_timestamp({{now}}) - interval '{DAYS} days 1 hour' $$;
CREATE FUNCTION bench_sum(last int) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
SELECT (100 * (last + 1)::bigint + (last + 1) / 100 * 4950::bigint
        + (last + 1) % 100 * ((last + 1) % 100 - 1) / 2) * 0.01 $$"""
DROP_FUNCTIONS = "DROP FUNCTION bench_begin(), bench_sum(int)"

FILL_ACCOUNTS = f"""
INSERT INTO accounts (account_id, currency, balance, seq, debits, credits, updated_at)
SELECT account_id, 'USD', credits - debits, seq, debits, credits, {_MOMENT} + interval '20 ms'
FROM (
    SELECT 'acc_' || account AS account_id, {PAYMENTS_PER_ACCOUNT} AS seq, 0 AS debits,
           (100 + account % 100) * 0.01 * {PAYMENTS_PER_ACCOUNT} AS credits,
           account + $1::int - $1::int / {PAYMENTS_PER_ACCOUNT} AS i
    FROM generate_series(0, $1::int / {PAYMENTS_PER_ACCOUNT} - 1) AS account
    UNION ALL
    SELECT 'sys:clearing:' || lpad(shard::text, 2, '0'), $1::int / {CLEARING_ACCOUNTS},
           bench_sum($1::int / {CLEARING_ACCOUNTS} - 1), 0,
           (shard + 1) * ($1::int / {CLEARING_ACCOUNTS}) - 1
    FROM generate_series(0, {CLEARING_ACCOUNTS - 1}) AS shard
) AS head"""

# New jobs and the auditor continue after the last row.
SET_BOOKMARKS = """
SELECT setval('recon_jobs_id_seq', (SELECT max(id) FROM recon_jobs));
UPDATE audit_progress SET
    entries_verified_to = (SELECT max(id) FROM ledger_entries),
    results_verified_to = (SELECT max(id) FROM reconciliation_results),
    payments_verified_to = (SELECT id FROM payments ORDER BY id DESC LIMIT 1)"""


CONSTRAINTS = """
SELECT conrelid::regclass::text AS table, format('ALTER TABLE %s DROP CONSTRAINT %I',
           conrelid::regclass, conname) AS drop,
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname,
              pg_get_constraintdef(oid)) AS make
FROM pg_constraint WHERE conrelid = ANY ($1::text[]::regclass[]) AND contype::text = ANY ($2)
ORDER BY conname"""
INDEXES = """
SELECT indrelid::regclass::text AS table, format('DROP INDEX %s', indexrelid::regclass) AS drop,
       pg_get_indexdef(indexrelid) AS make
FROM pg_index LEFT JOIN pg_constraint ON conindid = indexrelid AND contype IN ('p', 'u', 'x')
WHERE indrelid = ANY ($1::text[]::regclass[]) AND conindid IS NULL AND $2::text[] = '{}'
ORDER BY indexrelid::regclass::text"""


@dataclass(frozen=True, slots=True)
class _Made:
    """The statements that drop and recreate an index or constraint."""

    table: str
    drop: str
    make: str


async def load(url: str, payments: int) -> None:
    """Fill an empty, migrated database. Raises ValueError if `payments` is no valid multiple."""
    if payments <= 0 or payments % PAYMENTS_MULTIPLE_OF:
        raise ValueError(f"{payments:,} is not a multiple of {PAYMENTS_MULTIPLE_OF:,} payments")
    sql = await asyncpg.connect(url)
    try:
        before = await _definitions(sql)
        foreign = await _made(sql, CONSTRAINTS, "f")
        keys = [*await _made(sql, CONSTRAINTS, "p", "u"), *await _made(sql, INDEXES)]
        for made in (*foreign, *keys):
            await sql.execute(made.drop)
        await sql.execute(FUNCTIONS.format(now=int(time.time())))
        await asyncio.gather(
            _fill(url, payments, {"payments": FILL_PAYMENTS, "recon_jobs": FILL_JOBS}),
            _fill(url, payments, {"ledger_entries": FILL_ENTRIES}),
            _fill(
                url,
                payments,
                {"reconciliation_results": FILL_RESULTS, "accounts": FILL_ACCOUNTS},
            ),
        )
        await sql.execute(DROP_FUNCTIONS)
        await asyncio.gather(*(_index(url, table, keys) for table in TABLES))
        await sql.execute(SET_BOOKMARKS)
        await sql.execute("VACUUM (ANALYZE)")
        for made in foreign:
            await sql.execute(made.make)
        if await _definitions(sql) != before:
            raise RuntimeError("the load left the schema different from how it found it")
        await sql.execute("CHECKPOINT")
    finally:
        await sql.close()


async def _made(sql: "asyncpg.Connection[asyncpg.Record]", query: str, *kinds: str) -> list[_Made]:
    return [_Made(*row) for row in await sql.fetch(query, TABLES, kinds)]


async def _definitions(sql: "asyncpg.Connection[asyncpg.Record]") -> list[_Made]:
    every_kind = ("p", "u", "f", "c", "n")
    return [*await _made(sql, CONSTRAINTS, *every_kind), *await _made(sql, INDEXES)]


async def _fill(url: str, payments: int, statements: dict[str, str]) -> None:
    """Fill each table in its own transaction, with the history guards disabled."""
    sql = await asyncpg.connect(url)
    try:
        for table, statement in statements.items():
            async with sql.transaction():
                await sql.execute("SET LOCAL session_replication_role = replica")
                await sql.execute(f"TRUNCATE {table} RESTART IDENTITY")
                await sql.execute(statement, payments)
    finally:
        await sql.close()


async def _index(url: str, table: str, keys: Sequence[_Made]) -> None:
    sql = await asyncpg.connect(url)
    try:
        for made in keys:
            if made.table == table:
                await sql.execute(made.make)
    finally:
        await sql.close()
