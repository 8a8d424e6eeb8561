"""A page of a list reads a bounded number of blocks, for any number of other rows."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_api.accounts.queries import pending_of
from payments_api.migrate import migrate
from payments_api.payments import queries
from payments_api.payments.filters import PaymentFilter
from payments_api.payments.queries import list_payments
from payments_core.db import event_log as log
from payments_core.db.event_log import read_events
from payments_core.db.keyset import Walk
from payments_core.queue.job_queries import list_jobs
from payments_local.postgres import EmbeddedPostgres
from testkit.database.another import another_database
from testkit.database.plans import blocks_read
from testkit.database.sql import Sql

LIMIT = 51
PAYMENTS = 20_000
# For up to 51 payments: their rows, their results and the path through each index.
BLOCKS_MAX = 450
# Each payment has a result and a finished job; the oldest ten payments and jobs failed.
FILL = f"""
SET session_replication_role = replica;
INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount, currency,
                      description, status, settled_at, updated_at, reference)
SELECT ('01900000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'k' || n, sha256('k'),
       'acc_' || n % 100, 1, CASE WHEN n <= 10 THEN 'EUR' ELSE 'USD' END, '',
       CASE WHEN n <= 10 THEN 'failed' ELSE 'completed' END, now(), now(),
       CASE WHEN n <= 10 THEN 'rare' WHEN n % 2 = 0 THEN 'frequent' ELSE 'r' || n END
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


@pytest.fixture(scope="module")
def filled_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The API's URL of a database of its own, filled once for all tests that only read."""
    with another_database(postgres.url, "filled") as url:
        asyncio.run(_fill(url))
        yield url.replace("postgres@", "payments_api@")


async def _fill(url: str) -> None:
    await migrate(url)
    connection = await asyncpg.connect(url)
    await connection.execute(FILL)
    await connection.close()


# One request examines at most this many payments here: few of the 20,000.
EXAMINED = 1_000
MIDDLE = UUID(f"01900000-0000-7000-8000-{PAYMENTS // 2:012}")
WALKS: dict[str, Walk[UUID]] = {
    "newest first": Walk(),
    "older": Walk(MIDDLE),
    "newer": Walk(MIDDLE, backward=True),
    "oldest first": Walk(list_descends=False),
    "after": Walk(MIDDLE, list_descends=False),
}


@pytest.mark.parametrize(
    ("which", "found"),
    [
        (PaymentFilter(), LIMIT),
        (PaymentFilter(status="completed"), LIMIT),
        (PaymentFilter(status="failed"), 10),
        (PaymentFilter(status="pending"), 0),
        (PaymentFilter(discrepancy=True), 0),
        (PaymentFilter(dead_letter=True), 10),
        (PaymentFilter(currency="USD"), LIMIT),
        (PaymentFilter(currency="EUR"), 10),
        (PaymentFilter(amount=Decimal(1)), LIMIT),
        (PaymentFilter(amount=Decimal(2)), 0),
        (PaymentFilter(description="no such text"), 0),
        (PaymentFilter(description="a%"), 0),
        (PaymentFilter(id_prefix="01900000"), LIMIT),
        (PaymentFilter(id_prefix="01900000-0000-7000-8000-00000001"), LIMIT),
        (PaymentFilter(id_prefix="01900000-0000-7000-8000-00000000000"), 9),
        (PaymentFilter(id_prefix="01900000-0000", id_suffix="0004"), 2),
        (PaymentFilter(account_id="acc_5"), LIMIT),
        (PaymentFilter(account_id="acc_5", status="failed"), 1),
        (PaymentFilter(account_id="acc_5", description="x"), 0),
        (PaymentFilter(reference="frequent"), LIMIT),
        (PaymentFilter(reference="frequent", account_id="acc_5"), 0),
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
async def test_a_page_of_payments_reads_few_blocks(
    filled_url: str,
    monkeypatch: pytest.MonkeyPatch,
    which: PaymentFilter,
    found: int,
) -> None:
    monkeypatch.setattr(queries, "EXAMINED_MAX", EXAMINED)
    stops: list[UUID | None] = []
    for name, walk in WALKS.items():

        async def read(connection: AsyncConnection, walk: Walk[UUID] = walk) -> Any:
            page = await list_payments(connection, which, LIMIT, walk)
            stops.append(page.stopped_at)
            return page.rows

        rows, blocks = await blocks_read(filled_url, read)
        if walk.start is None and stops[-1] is None:
            assert rows == found, name
        assert blocks < BLOCKS_MAX, name


async def test_dead_letters_behind_a_backlog_are_listed_at_once(
    many: None, sql: Sql, api_url_of_database: str
) -> None:
    """The queue has ten dead letters and ten thousand waiting jobs."""
    await sql.execute(
        "UPDATE recon_jobs SET status = 'pending' WHERE id % 2 = 0 AND status = 'completed'"
    )
    await sql.execute("VACUUM ANALYZE recon_jobs")

    async def read(connection: AsyncConnection) -> Any:
        page = await list_payments(connection, PaymentFilter(dead_letter=True), LIMIT, Walk())
        return page.rows

    rows, blocks = await blocks_read(api_url_of_database, read)
    assert rows == 10
    assert blocks < BLOCKS_MAX


@pytest.mark.parametrize(
    "which",
    [
        PaymentFilter(),
        PaymentFilter(currency="EUR"),
        PaymentFilter(description="x"),
        PaymentFilter(status="failed"),
        PaymentFilter(account_id="acc_5", amount=Decimal(1)),
    ],
    ids=str,
)
async def test_totals_read_a_bounded_number_of_payments(
    filled_url: str,
    monkeypatch: pytest.MonkeyPatch,
    which: PaymentFilter,
) -> None:
    monkeypatch.setattr(queries, "EXAMINED_MAX", EXAMINED)

    async def read(connection: AsyncConnection) -> Any:
        return await queries.totals_of(connection, which)

    _, blocks = await blocks_read(filled_url, read)
    assert blocks < BLOCKS_MAX


@pytest.mark.parametrize("walk", [Walk(), Walk(1), Walk(1, backward=True)], ids=str)
@pytest.mark.parametrize(("status", "found"), [("failed", 10), ("pending", 0), ("processing", 0)])
async def test_a_page_of_jobs_reads_few_blocks(
    filled_url: str, status: str, found: int, walk: Walk[int]
) -> None:
    async def read(connection: AsyncConnection) -> Any:
        return await list_jobs(connection, status, LIMIT, walk)

    rows, blocks = await blocks_read(filled_url, read)
    assert rows == (0 if walk.start and not walk.backward else found)
    assert blocks < BLOCKS_MAX


@pytest.mark.parametrize("known", ["nothing is known", "known while small"])
async def test_a_balance_reads_only_the_unfinished_jobs(
    many: None, sql: Sql, api_url_of_database: str, known: str
) -> None:
    """Ten of 20,000 jobs are unfinished; all 20,000 reversals are settled."""
    await sql.execute(
        "SET session_replication_role = replica;"
        " INSERT INTO reversals (id, idempotency_key, request_fingerprint, payment_id, account_id,"
        "     currency, source, amount, reason, status, settled_at)"
        " SELECT id, id::text, sha256('k'), id, account_id, currency, source, 1, 'r', status, now()"
        " FROM payments; SET session_replication_role = DEFAULT"
    )
    await sql.execute("VACUUM recon_jobs")
    if known == "nothing is known":
        await sql.execute("DELETE FROM pg_statistic")

    async def read(connection: AsyncConnection) -> Any:
        return [await pending_of(connection, "acc_5", "EUR")]

    _, blocks = await blocks_read(api_url_of_database, read)
    assert blocks < 100


@pytest.mark.parametrize(
    ("types", "tenant", "found"),
    [
        (["payment.completed"], None, LIMIT),
        (["payment.failed"], None, 0),
        (["payment.completed"], "acme", 0),
    ],
)
async def test_a_page_of_events_reads_few_blocks(
    filled_url: str,
    monkeypatch: pytest.MonkeyPatch,
    types: list[str],
    tenant: str | None,
    found: int,
) -> None:
    """The page is in the middle of the log. Each event also reads its payment: 3 to 4 blocks."""
    monkeypatch.setattr(log, "SCANNED_EVENTS_MAX", 200)

    async def read(connection: AsyncConnection) -> Any:
        page = await read_events(connection, 10_000, PAYMENTS, LIMIT, types, tenant)
        return page.rows

    rows, blocks = await blocks_read(filled_url, read)
    assert rows == found
    assert blocks < 4 * 200 + BLOCKS_MAX
