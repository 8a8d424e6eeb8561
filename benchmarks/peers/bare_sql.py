"""The limit: the ledger's work as one bare statement per batch, without our guards.

Straightforward SQL by an experienced author: the columns and indexes that payments, lists and a
ledger need, money as a bigint, the same rules, and CTEs joined by account. Claimed rows are found
through arrays, since joins would read whole tables for each batch. No checks, triggers, foreign
keys or leases; claim and completion share a transaction. benchmarks/ANALYSIS.md explains the cost
of its plan; bare_sql_tuned.py avoids it.
"""

import asyncio
import time
from dataclasses import dataclass

import asyncpg


@dataclass(frozen=True, slots=True)
class Bare:
    """The SQL: tables, a fill of $1 payments for $2 accounts, a batch with clearing account $1."""

    tables: str
    fill: str
    batch: str


TABLES = """
CREATE SCHEMA bare;
CREATE TABLE bare.payments (id uuid PRIMARY KEY DEFAULT uuidv7(),
    idempotency_key text NOT NULL UNIQUE, account_id text NOT NULL, amount bigint NOT NULL,
    currency text NOT NULL, description text NOT NULL, status text NOT NULL DEFAULT 'pending',
    created_at timestamptz NOT NULL DEFAULT now(), settled_at timestamptz) WITH (fillfactor = 55);
CREATE INDEX ON bare.payments (account_id, created_at);
CREATE INDEX ON bare.payments (created_at);
CREATE TABLE bare.jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id uuid NOT NULL UNIQUE, status text NOT NULL DEFAULT 'pending',
    attempts int NOT NULL DEFAULT 0, created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz) WITH (fillfactor = 70);
CREATE INDEX ON bare.jobs (id) WHERE status = 'pending';
CREATE TABLE bare.accounts (account_id text, currency text, balance bigint NOT NULL,
    seq bigint NOT NULL, PRIMARY KEY (account_id, currency)) WITH (fillfactor = 50);
CREATE TABLE bare.results (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id uuid NOT NULL UNIQUE, status text NOT NULL, discrepancy_amount bigint,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE bare.entries (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id uuid NOT NULL, account_id text NOT NULL, currency text NOT NULL,
    delta bigint NOT NULL, account_seq bigint NOT NULL, balance_after bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(), UNIQUE (account_id, currency, account_seq));
CREATE INDEX ON bare.entries (payment_id);
"""

FILL = """
WITH made AS (
    INSERT INTO bare.payments (idempotency_key, account_id, amount, currency, description)
    SELECT gen_random_uuid()::text, 'acc_' || n % $2, n % 5000 + 100, 'USD', ''
    FROM generate_series(1, $1::int) AS n RETURNING id
)
INSERT INTO bare.jobs (payment_id) SELECT id FROM made"""

BATCH = """
WITH claimed AS (
    SELECT id, payment_id FROM bare.jobs WHERE status = 'pending'
    ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED
), done AS (
    UPDATE bare.jobs SET status = 'completed', attempts = attempts + 1, finished_at = now()
    WHERE id = ANY (ARRAY(SELECT id FROM claimed))
), settled AS (
    UPDATE bare.payments SET status = CASE WHEN amount > 0 THEN 'completed' ELSE 'failed' END,
                             settled_at = now()
    WHERE id = ANY (ARRAY(SELECT payment_id FROM claimed))
    RETURNING id AS payment_id, account_id, currency, amount, status
), resulted AS (
    INSERT INTO bare.results (payment_id, status, discrepancy_amount)
    SELECT payment_id, CASE WHEN status = 'failed' THEN 'failed' WHEN amount % 100 = 13
           THEN 'completed_with_discrepancy' ELSE 'completed' END,
           CASE WHEN status = 'completed' AND amount % 100 = 13 THEN 13 END
    FROM settled
), legs AS (
    SELECT payment_id, account_id, currency, amount AS delta FROM settled
    WHERE status = 'completed'
    UNION ALL
    SELECT payment_id, $1, currency, -amount FROM settled WHERE status = 'completed'
), moved AS (
    SELECT account_id, currency, sum(delta)::bigint AS delta, count(*) AS n
    FROM legs GROUP BY account_id, currency
), heads AS (
    INSERT INTO bare.accounts AS head
    SELECT account_id, currency, delta, n FROM moved ORDER BY account_id, currency
    ON CONFLICT (account_id, currency) DO UPDATE
    SET balance = head.balance + excluded.balance, seq = head.seq + excluded.seq
    RETURNING account_id, currency, balance, seq
), entered AS (
    INSERT INTO bare.entries (payment_id, account_id, currency, delta, account_seq, balance_after)
    SELECT payment_id, account_id, currency, legs.delta, seq - n + row_number() OVER account,
           balance - moved.delta + sum(legs.delta) OVER (account ROWS UNBOUNDED PRECEDING)
    FROM legs JOIN heads USING (account_id, currency) JOIN moved USING (account_id, currency)
    WINDOW account AS (PARTITION BY account_id, currency ORDER BY payment_id)
)
SELECT count(*) FROM claimed"""

PLAIN = Bare(TABLES, FILL, BATCH)

# Rows that show an error in a finished ledger of $1 payments.
WRONG = """
SELECT 'entries' AS what WHERE (SELECT count(*) FROM bare.entries) <> 2 * $1::bigint
UNION ALL SELECT 'results' WHERE (SELECT count(*) FROM bare.results) <> $1::bigint
UNION ALL SELECT 'pending' WHERE EXISTS (SELECT FROM bare.payments WHERE status = 'pending')
UNION ALL SELECT 'sum' WHERE (SELECT sum(balance) FROM bare.accounts) <> 0
UNION ALL SELECT 'head ' || head.account_id FROM bare.accounts AS head JOIN (
    SELECT account_id, sum(delta) AS balance, count(*) AS n, max(account_seq) AS seq
    FROM bare.entries GROUP BY 1) AS summed USING (account_id)
WHERE (head.balance, head.seq, head.seq) IS DISTINCT FROM (summed.balance, summed.n, summed.seq)"""


async def drain(bare: Bare, url: str, payments: int, accounts: int, connections: int) -> float:
    """Complete a backlog over `connections` connections; return the seconds.

    Raises RuntimeError if the ledger is wrong afterwards.
    """
    opened = [await asyncpg.connect(url) for _ in range(connections)]
    try:
        await opened[0].execute(bare.tables)
        await opened[0].execute(bare.fill, payments, accounts)
        await opened[0].execute("VACUUM ANALYZE")
        await opened[0].execute("CHECKPOINT")
        started = time.perf_counter()
        await asyncio.gather(
            *(_drain(bare, connection, f"sys:{n}") for n, connection in enumerate(opened))
        )
        took = time.perf_counter() - started
        wrong = await opened[0].fetchval(WRONG, payments)
        if wrong is not None:
            raise RuntimeError(f"the bare ledger is wrong: {wrong}")
        return took
    finally:
        for connection in opened:
            await connection.close()


async def _drain(
    bare: Bare, connection: "asyncpg.Connection[asyncpg.Record]", clearing: str
) -> None:
    while await connection.fetchval(bare.batch, clearing):
        pass
