"""A page of a list reads about a page's worth of rows, however many others there are."""

from typing import Any, TypeAlias

import asyncpg
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_api.payments.queries import PaymentFilter, list_payments
from payments_core.db.engine import create_engine, single_statement
from payments_core.queue.dead_letters import list_jobs

Sql: TypeAlias = "asyncpg.Connection[Any]"

LIMIT = 51
PAYMENTS = 20_000
# Of the newest 51 payments, or of none: their rows, their results and the ways through indexes.
BLOCKS_MAX = 400
# Each payment has a result and a finished job; the oldest ten failed, and the oldest ten jobs.
FILL = f"""
SET session_replication_role = replica;
INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount, currency,
                      description, status, settled_at, updated_at, reference)
SELECT ('01900000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'k' || n, sha256('k'),
       'acc_' || n % 100, 1, CASE WHEN n <= 10 THEN 'EUR' ELSE 'USD' END, '',
       CASE WHEN n <= 10 THEN 'failed' ELSE 'completed' END, now(), now(),
       CASE WHEN n <= 10 THEN 'rare' WHEN n % 2 = 0 THEN 'frequent' END
FROM generate_series(1, {PAYMENTS}) AS n;
INSERT INTO reconciliation_results (payment_id, recon_job_id, status, matched, notes, rule_version)
SELECT id, 1, status, status = 'completed', '', 1 FROM payments ORDER BY id;
INSERT INTO recon_jobs (payment_id, status, last_error)
SELECT id, status, 'e' FROM payments ORDER BY id;
SET session_replication_role = DEFAULT;
ANALYZE payments, reconciliation_results, recon_jobs;
"""


@pytest.fixture
async def many(sql: Sql) -> None:
    await sql.execute(FILL)


async def _blocks_read(url: str, read: Any) -> tuple[int, int]:
    """How many rows `await read(connection)` gives, and how many blocks its statement read.

    It is run once more by its text, in a session with the settings of our own.
    """
    engine = create_engine(url, application_name="test", pool_size=1)
    ran: list[tuple[str, tuple[Any, ...]]] = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def remember(_c: Any, _cursor: Any, text: str, values: Any, *_: Any) -> None:
        ran.append((text, values))

    try:
        async with single_statement(engine) as connection:
            rows = await read(connection)
            text, values = ran[-1]
            await connection.exec_driver_sql(f"PREPARE page AS {text}")
            given = ", ".join(f"'{value}'" for value in values)
            execute = f"EXECUTE page({given})" if values else "EXECUTE page"
            explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) {execute}"
            (plan,) = (await connection.exec_driver_sql(explain)).scalar_one()
    finally:
        await engine.dispose()
    return len(rows), plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]


@pytest.mark.parametrize(
    ("which", "found"),
    [
        (PaymentFilter(), LIMIT),
        (PaymentFilter(status="completed"), LIMIT),
        (PaymentFilter(status="failed"), 10),
        (PaymentFilter(status="pending"), 0),
        (PaymentFilter(discrepancy=True), 0),
        (PaymentFilter(currency="USD"), LIMIT),
        (PaymentFilter(account_id="acc_5"), LIMIT),
        (PaymentFilter(account_id="acc_5", status="failed"), 1),
        (PaymentFilter(reference="frequent"), LIMIT),
        (PaymentFilter(reference="rare"), 10),
        (PaymentFilter(reference="none"), 0),
        (PaymentFilter(reference="rare", account_id="acc_5"), 1),
        (PaymentFilter(reference="rare", tenant="acme"), 0),
        (PaymentFilter(reference="rare", status="failed"), 10),
        (PaymentFilter(idempotency_key="k5"), 1),
        (PaymentFilter(idempotency_key="k5", tenant="acme"), 0),
        (PaymentFilter(idempotency_key="k5", account_id="acc_5"), 1),
    ],
    ids=str,
)
async def test_a_page_of_payments_reads_about_a_page(
    many: None, api_url_of_database: str, which: PaymentFilter, found: int
) -> None:
    async def read(connection: AsyncConnection) -> Any:
        return await list_payments(connection, which, LIMIT, None)

    rows, blocks = await _blocks_read(api_url_of_database, read)
    assert rows == found
    assert blocks < BLOCKS_MAX


@pytest.mark.parametrize(("status", "found"), [("failed", 10), ("pending", 0), ("processing", 0)])
async def test_a_page_of_jobs_reads_about_a_page(
    many: None, api_url_of_database: str, status: str, found: int
) -> None:
    async def read(connection: AsyncConnection) -> Any:
        return await list_jobs(connection, status, LIMIT)

    rows, blocks = await _blocks_read(api_url_of_database, read)
    assert rows == found
    assert blocks < BLOCKS_MAX
