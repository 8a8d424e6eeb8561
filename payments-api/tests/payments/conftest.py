"""Requests for payments, counts of stored rows, blocked keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import asyncpg
from quart import Quart
from quart.typing import TestClientProtocol

from payments_api.services import EXTENSION, Services
from payments_core.domain.payments import NewPayment
from testkit.database.sql import Sql
from testkit.waiting import until

ORDER = NewPayment("k", "acc_1", Decimal("1.00"), "USD", "")
BODY = {"accountId": "acc_1", "amount": "1.00"}


def services_of(app: Quart) -> Services:
    services: Services = app.extensions[EXTENSION]
    return services


async def post_payment(client: TestClientProtocol, key: str = "k", **fields: object) -> Any:
    return await client.post("/payments", json=BODY | fields, headers={"Idempotency-Key": key})


async def count_stored(sql: Sql) -> tuple[int, int]:
    row = await sql.fetchrow(
        "SELECT (SELECT count(*) FROM payments), (SELECT count(*) FROM recon_jobs)"
    )
    return tuple(row or ())


@asynccontextmanager
async def blocked_key(database_url: str, key: str) -> AsyncIterator[Sql]:
    """Hold an open transaction on another connection that has inserted the key."""
    other: Sql = await asyncpg.connect(database_url)
    try:
        await other.execute("BEGIN")
        await other.execute(
            "INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount,"
            " currency, description) VALUES ($1, $2, $3, 'acc_1', 1.00, 'USD', '')",
            uuid4(),
            key,
            replace(ORDER, idempotency_key=key).fingerprint(),
        )
        yield other
    finally:
        await other.close()


async def backends_of_api(sql: Sql, extra: str = "") -> list[int]:
    rows = await sql.fetch(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'payments-api'" + extra
    )
    return [row[0] for row in rows]


async def create_payment(client: TestClientProtocol, **fields: Any) -> dict[str, Any]:
    body = {"accountId": "acc_1", "amount": "1.00"} | fields
    answer = await client.post("/payments", json=body, headers={"Idempotency-Key": str(uuid4())})
    assert answer.status_code == 201
    payment: dict[str, Any] = await answer.get_json()
    return payment


async def get_page(client: TestClientProtocol, address: str, **query: Any) -> Any:
    return await client.get(f"{address}?{urlencode(query)}" if query else address)


async def until_settled(sql: Sql, count: int) -> None:
    async def settled() -> bool:
        query = "SELECT count(*) FROM payments WHERE status <> 'pending'"
        return bool(await sql.fetchval(query) == count)

    await until(settled)
