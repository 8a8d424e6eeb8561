"""The databases under test: a durable Postgres, and a fresh database for every sample."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from payments_api.migrate import migrate
from payments_core.queue.jobs import JOBS_CHANNEL
from payments_local.postgres import EmbeddedPostgres, running_postgres

# The same for every contender. Nothing here trades durability for speed.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",  # Otherwise a checkpoint would hit some samples and not others.
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track_planning": "off",
}
TEMPLATE = "payments"


@contextmanager
def durable_postgres(folder: Path | None = None) -> Iterator[EmbeddedPostgres]:
    """Run a server with fsync on; its database `payments` is migrated and stays empty."""
    with running_postgres(folder, durable=True, settings=SETTINGS) as server:
        asyncio.run(migrate(server.url))
        yield server


def fresh_database(url: str, name: str, template: str = TEMPLATE) -> str:
    """Create a database from the template, replacing an earlier one; return its URL."""
    return asyncio.run(_fresh_database(url, name, template))


async def _fresh_database(url: str, name: str, template: str) -> str:
    connection = await asyncpg.connect(with_database(url, "postgres"))
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    finally:
        await connection.close()
    return with_database(url, name)


def with_database(url: str, name: str) -> str:
    """Return the URL of another database on the same server."""
    return f"{url.rpartition('/')[0]}/{name}"


_FILL = """
WITH asked AS (
    SELECT uuidv7() AS id, $3 || '-' || n AS key, 'acc_' || n % $2 AS account,
           round((n % 5000 + 100)::numeric / 100, 2) AS amount
    FROM generate_series(1, $1::int) AS n
), created AS (
    INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id,
                          amount, currency, description)
    SELECT id, key, sha256(convert_to(
               concat_ws(chr(31), account, amount::text, 'USD', ''), 'UTF8')),
           account, amount, 'USD', ''
    FROM asked RETURNING id
)
{jobs}"""
FILL = _FILL.format(jobs="INSERT INTO recon_jobs (payment_id) SELECT id FROM created")
# Every third job is of a reversal, of a payment that was settled before.
FILL_WITH_REVERSALS = _FILL.format(
    jobs="""
, reversed AS (
    INSERT INTO reversals (id, idempotency_key, request_fingerprint, payment_id, account_id,
                           currency, source, amount, reason)
    SELECT uuidv7(), 'reversal of ' || id, sha256(convert_to(concat_ws(
               chr(31), 'reversal', id::text, amount::text, '', '{}', 'returned'), 'UTF8')),
           id, account_id, currency, source, amount, 'returned'
    FROM payments WHERE status = 'completed' LIMIT $1 / 2
    RETURNING id
)
INSERT INTO recon_jobs (payment_id, reversal_id)
SELECT payment_id, reversal_id FROM (
    SELECT row_number() OVER () AS place, id AS payment_id, NULL::uuid AS reversal_id FROM created
    UNION ALL
    SELECT row_number() OVER () * 2, NULL, id FROM reversed
) AS jobs ORDER BY place, payment_id NULLS LAST"""
)


async def fill(url: str, payments: int, accounts: int, *, reversals: bool = False) -> None:
    """Insert a backlog of payments and their jobs, as the API stores them.

    With half as many reversals between them, of payments that are settled.
    """
    connection = await asyncpg.connect(url)
    try:
        key = await connection.fetchval("SELECT uuidv7()::text")
        statement = FILL_WITH_REVERSALS if reversals else FILL
        await connection.execute(statement, payments, accounts, key)
        await connection.execute("VACUUM ANALYZE payments, reversals, recon_jobs")
        await connection.execute("CHECKPOINT")
        # Last, as the API does after its commit: it wakes sleeping workers.
        await connection.execute(f"NOTIFY {JOBS_CHANNEL}")
    finally:
        await connection.close()


async def until_false(url: str, condition: str, pause_seconds: float = 0.02) -> None:
    """Wait until a query that returns one boolean returns false."""
    connection = await asyncpg.connect(url)
    try:
        while await connection.fetchval(condition):  # noqa: ASYNC110 - another process does it.
            await asyncio.sleep(pause_seconds)
    finally:
        await connection.close()


def one_value(url: str, query: str, *arguments: object) -> object:
    """Return the first column of a query's first row."""

    async def fetch() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(query, *arguments)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def audit(url: str, *, full: bool = True) -> None:
    """Audit the ledger: a figure counts only if it is correct. Raises if an invariant is broken."""
    done = subprocess.run(
        [sys.executable, "-m", "recon_worker", "audit", *(["--full"] if full else [])],
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the auditor objects:\n{done.stdout}{done.stderr}")
