"""Dead letters, and requests of operators."""

from typing import Any

import pytest
from quart.typing import TestClientProtocol

from testkit.database.sql import Sql


@pytest.fixture
async def dead(client: TestClientProtocol, sql: Sql) -> list[int]:
    """Return the job ids of four dead letters, of accounts a, a, b, b; the last one timed out."""
    items = [
        {"idempotencyKey": f"k{n}", "accountId": account, "amount": n}
        for n, account in enumerate("aabb", start=1)
    ]
    await client.post("/payments/batch", json={"payments": items})
    await sql.execute(
        "UPDATE recon_jobs SET status = 'failed', attempts = 10, last_error = CASE"
        " (SELECT idempotency_key FROM payments WHERE payments.id = payment_id)"
        " WHEN 'k4' THEN 'timed out at 100%' ELSE 'division by zero' END"
    )
    rows = await sql.fetch(
        "SELECT j.id FROM recon_jobs j JOIN payments p ON p.id = payment_id"
        " ORDER BY idempotency_key"
    )
    return [row[0] for row in rows]


async def get_json(client: TestClientProtocol, address: str, status: int = 200) -> Any:
    answer = await client.get(address)
    body = await answer.get_json()
    assert answer.status_code == status, body
    return body


async def post_json(client: TestClientProtocol, address: str, body: Any, status: int = 200) -> Any:
    answer = await client.post(address, json=body)
    found = await answer.get_json()
    assert answer.status_code == status, found
    return found
