"""Payments and their jobs, stored directly as the API stores them."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import asyncpg
import uuid_utils.compat as uuid_utils

from payments_core.domain.money import exact_amount
from payments_core.domain.payments import NewPayment
from payments_core.queue.jobs import RECORD_DEATHS
from testkit.database.sql import Sql
from testkit.waiting import WAIT_SECONDS_MAX, until

ADD = """
WITH added AS (
    INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount,
                          currency, description)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::numeric[],
                         $6::text[], $7::text[])
    RETURNING id
)
INSERT INTO recon_jobs (payment_id) SELECT unnest($1::uuid[])"""
DIE = f"""
WITH updated AS (
    UPDATE recon_jobs SET status = 'failed', attempts = 10, last_error = 'boom', updated_at = now()
    WHERE payment_id = $1 RETURNING id, payment_id, reversal_id, attempts, status
) {RECORD_DEATHS.format(updated="updated")} RETURNING job_id"""


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored payment; its job's id is its position in the order of adding."""

    id: UUID
    account_id: str
    amount: Decimal
    currency: str


async def add_payments(sql: Sql, wanted: Iterable[tuple[str, str | Decimal, str]]) -> list[Stored]:
    """Store a pending payment and its job for each (account, amount, currency)."""
    stored = [
        Stored(uuid_utils.uuid7(), account, exact_amount(Decimal(amount), currency), currency)
        for account, amount, currency in wanted
    ]
    orders = [NewPayment(f"key-{p.id}", p.account_id, p.amount, p.currency, "") for p in stored]
    await sql.execute(
        ADD,
        [payment.id for payment in stored],
        [order.idempotency_key for order in orders],
        [order.fingerprint() for order in orders],
        [order.account_id for order in orders],
        [order.amount for order in orders],
        [order.currency for order in orders],
        [order.description for order in orders],
    )
    return stored


async def add_simple(sql: Sql, count: int) -> list[Stored]:
    """Store `count` payments of 1.00 USD, spread over ten accounts."""
    return await add_payments(sql, ((f"acc_{n % 10}", "1.00", "USD") for n in range(count)))


async def die(sql: Sql, payment: Stored) -> int:
    """Make the payment's job a dead letter with its event; return the job's id."""
    job_id: int = await sql.fetchval(DIE, payment.id)
    return job_id


async def set_source(sql: Sql, payment: Stored, source: str) -> None:
    """Give the payment another source, as if it had been created with it."""
    order = NewPayment("", payment.account_id, payment.amount, payment.currency, "", source=source)
    await sql.execute("SET session_replication_role = replica")
    change = "UPDATE payments SET source = $2, request_fingerprint = $3 WHERE id = $1"
    await sql.execute(change, payment.id, source, order.fingerprint())
    await sql.execute("SET session_replication_role = DEFAULT")


async def job_rows(sql: Sql) -> list[asyncpg.Record]:
    """Return all jobs in the order in which they were added."""
    return await sql.fetch("SELECT * FROM recon_jobs ORDER BY id")


async def status_counts(sql: Sql) -> dict[str, int]:
    """Return the number of jobs in each status that occurs."""
    rows = await sql.fetch("SELECT status, count(*) AS n FROM recon_jobs GROUP BY status")
    return {row["status"]: row["n"] for row in rows}


async def until_completed(sql: Sql, count: int, seconds: float = WAIT_SECONDS_MAX) -> None:
    """Return when there are so many jobs, all completed. Raises TimeoutError."""

    async def completed() -> bool:
        return await status_counts(sql) == {"completed": count}

    await until(completed, seconds)
