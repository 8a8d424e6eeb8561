"""Which roles can lock which tables."""

from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from quart.typing import TestClientProtocol

from testkit.database.sql import Sql
from testkit.waiting import until

# Postgres lets a role lock a table that it may delete from.
DELETES_FROM = {
    "payments_api": {"statement_uploads", "open_entries", "webhook_secrets"},
    "payments_worker": {
        *("recon_jobs", "job_deaths", "workers", "worker_throughput"),
        *("audit_progress", "seal_verification"),
        *("statement_uploads", "statement_staging", "open_entries"),
        *("webhook_endpoints", "webhook_secrets", "webhook_deliveries", "webhook_attempts"),
        "webhook_disablings",
    },
}


@pytest.mark.parametrize("role", ["payments_api", "payments_worker", "payments_readonly"])
async def test_a_role_locks_only_tables_that_it_deletes_from(
    sql: Sql, database_url: str, role: str
) -> None:
    tables = await sql.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    )
    session = await asyncpg.connect(database_url.replace("postgres@", f"{role}@"))
    locked = set()
    try:
        await session.execute("SET default_transaction_read_only = off")
        for (table,) in tables:
            try:
                async with session.transaction():
                    await session.execute(f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE")
                locked.add(table)
            except asyncpg.InsufficientPrivilegeError:
                continue
    finally:
        await session.close()
    assert len(tables) >= 14
    assert locked == DELETES_FROM.get(role, set())


async def test_a_locked_row_of_the_queue_stops_no_other_job(
    sql: Sql, database_url: str, client: TestClientProtocol, start_worker: Callable[..., Any]
) -> None:
    session = await asyncpg.connect(database_url.replace("postgres@", "payments_api@"))
    try:
        await _pay(client, "locked")
        held = session.transaction()
        await held.start()
        await session.execute("SELECT FROM recon_jobs FOR UPDATE")
        await start_worker()
        await _pay(client, "free")

        async def settled() -> set[str]:
            return set(
                await sql.fetchval(
                    "SELECT coalesce(array_agg(idempotency_key), '{}') FROM payments"
                    " WHERE settled_at IS NOT NULL"
                )
            )

        async def all_but_the_locked_one() -> bool:
            return await settled() == {"free"}

        async def all_of_them() -> bool:
            return await settled() == {"free", "locked"}

        await until(all_but_the_locked_one)
        await held.rollback()
        await until(all_of_them)
    finally:
        await session.close()


async def _pay(client: TestClientProtocol, key: str) -> None:
    body = {"accountId": "acc_1", "amount": "1.00"}
    answer = await client.post("/payments", json=body, headers={"Idempotency-Key": key})
    assert answer.status_code == 201
