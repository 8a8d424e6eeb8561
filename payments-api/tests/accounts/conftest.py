"""A small ledger, and requests for it."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from quart.typing import TestClientProtocol

from testkit.database.sql import Sql

START = datetime(2026, 1, 1, tzinfo=UTC)


async def post_entries(sql: Sql, account: str, entries: list[tuple[datetime, Decimal]]) -> None:
    """Post payments with these moments and amounts, as a worker does."""
    clearing = f"sys:clearing:{account}"
    rows = []
    balance = Decimal("0.00")
    for seq, (at, amount) in enumerate(entries, start=1):
        balance += amount
        rows.append(
            (UUID(int=int.from_bytes(f"{account}{seq}".encode())), seq, amount, balance, at)
        )
    async with sql.transaction():
        await sql.executemany(
            "INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount,"
            " currency, description, status, created_at, updated_at, settled_at)"
            " VALUES ($1, $2, $3, $4, $5, 'USD', '', 'completed', $6, $6, $6)",
            [(r[0], f"{account}-{r[1]}", bytes(32), account, r[2], r[4]) for r in rows],
        )
        await sql.executemany(
            "WITH legs AS (VALUES ('payment', 'credit', $2, $5::numeric),"
            " ('clearing', 'debit', $3, -$5::numeric))"
            " INSERT INTO ledger_entries (payment_id, account_id, currency, entry_type, direction,"
            " amount, account_seq, balance_after, created_at)"
            " SELECT $1, column3, 'USD', column1, column2, $4, $6, column4, $7 FROM legs",
            [(r[0], account, clearing, r[2], r[3], r[1], r[4]) for r in rows],
        )
        for name, debited, credited in ((account, 0, balance), (clearing, balance, 0)):
            await sql.execute(
                "INSERT INTO accounts (account_id, currency, balance, seq, debits, credits)"
                " VALUES ($1, 'USD', $2, $3, $4, $5)",
                name,
                credited - debited,
                len(rows),
                debited,
                credited,
            )


async def get_ok(client: TestClientProtocol, address: str, **query: Any) -> Any:
    answer = await client.get(f"{address}?{urlencode(query)}" if query else address)
    assert answer.status_code == 200
    return await answer.get_json()
