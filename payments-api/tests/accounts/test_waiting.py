"""Requests for past balances that wait for open postings leave the others their connections."""

import asyncio
from datetime import UTC, datetime
from urllib.parse import urlencode

import asyncpg
from quart.typing import TestClientProtocol


async def test_balances_that_wait_for_a_posting_hold_one_connection_together(
    client: TestClientProtocol, database_url: str
) -> None:
    ended: list[str] = []

    async def get(path: str, query: str = "") -> None:
        assert (await client.get(path + query)).status_code == 200
        ended.append(path)

    balance, moment = "/accounts/acc_1/balance", f"?{urlencode({'at': datetime.now(UTC)})}"
    posting = await asyncpg.connect(database_url)
    try:
        await posting.execute("BEGIN; LOCK TABLE ledger_entries IN ROW EXCLUSIVE MODE")
        waiting = [asyncio.create_task(get(balance, moment)) for _ in range(40)]
        await asyncio.sleep(0.2)
        await get("/payments")
        await posting.execute("COMMIT")
        await asyncio.gather(*waiting)
    finally:
        await posting.close()
    assert ended == ["/payments", *[balance] * 40]
