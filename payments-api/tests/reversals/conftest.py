"""A completed payment, and requests that reverse it."""

from typing import Any
from uuid import uuid4

import pytest
from quart.typing import TestClientProtocol

from testkit.database.backlog import Stored, add_payments
from testkit.database.ledgers.settled import FAST, until_all_settled
from testkit.database.sql import Sql
from testkit.worker.own_system import running_worker

STORED = "SELECT (SELECT count(*) FROM reversals), (SELECT count(*) FROM recon_jobs) - 1"


@pytest.fixture
async def paid(sql: Sql, worker_url_of_database: str) -> Stored:
    """Create a completed payment of 100.00 USD."""
    (payment,) = await add_payments(sql, [("acc_1", "100", "USD")])
    await settle(sql, worker_url_of_database)
    return payment


async def settle(sql: Sql, url: str) -> None:
    async with running_worker(url, clearing_shards=1, **FAST):
        await until_all_settled(sql)


async def reverse(
    client: TestClientProtocol, payment: Stored | str, key: str | None = None, **body: Any
) -> Any:
    payment_id = payment if isinstance(payment, str) else payment.id
    headers = {"Idempotency-Key": key or str(uuid4())}
    body = {"reason": "a test"} | body
    return await client.post(f"/payments/{payment_id}/reversals", json=body, headers=headers)


async def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, (await answer.get_json())["code"]
