"""An account's balance over time: a bounded number of points, each a ledger entry."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from quart.typing import TestClientProtocol

from testkit.database.sql import Sql
from testkit.waiting import until

START = datetime(2026, 1, 1, tzinfo=UTC)
# One entry a minute, and one of another account each minute.
FILL = """
SET session_replication_role = replica;
INSERT INTO ledger_entries (payment_id, account_id, currency, entry_type, direction, amount,
                            account_seq, balance_after, created_at)
SELECT gen_random_uuid(), account, 'USD', 'payment', 'credit', 1, n, n,
       timestamptz '2026-01-01T00:00:00Z' + (n - 1) * interval '1 minute'
FROM generate_series(1, $1::int) AS n, unnest('{acc_1,acc_2}'::text[]) AS account;
"""
HEADS = """
INSERT INTO accounts (account_id, currency, balance, seq, debits, credits)
SELECT account, 'USD', $1::int, $1::int, 0, $1::int
FROM unnest('{acc_1,acc_2}'::text[]) AS account"""


async def _fill(sql: Sql, entries: int) -> None:
    statements = FILL.strip().split(";\n")
    await sql.execute(statements[0])
    await sql.execute(statements[1].rstrip(";"), entries)
    await sql.execute("SET session_replication_role = DEFAULT")
    await sql.execute(HEADS, entries)


async def _history(client: TestClientProtocol, **query: Any) -> Any:
    answer = await client.get(f"/accounts/acc_1/balance-history?{urlencode(query)}")
    assert answer.status_code == 200, await answer.get_data()
    return await answer.get_json()


@pytest.mark.parametrize("entries", [0, 1, 2, 5, 199, 200, 201, 399, 1_000])
@pytest.mark.parametrize("limit", [2, 3, 200])
async def test_points_are_bounded_and_hold_the_first_and_the_last_entry(
    client: TestClientProtocol, sql: Sql, entries: int, limit: int
) -> None:
    if entries:
        await _fill(sql, entries)
    told = await _history(client, limit=limit)
    numbers = [point["accountSeq"] for point in told["points"]]
    assert told["entries"] == entries
    assert len(numbers) == len(set(numbers)) <= limit
    assert numbers == sorted(numbers)
    if entries:
        assert (numbers[0], numbers[-1]) == (1, entries)
    if entries <= limit:
        assert len(numbers) == entries
    for point in told["points"]:
        assert float(point["balance"]) == point["accountSeq"]
        at = START + timedelta(minutes=point["accountSeq"] - 1)
        assert datetime.fromisoformat(point["at"]) == at


@pytest.mark.parametrize(
    ("minutes", "first"), [(-5, 1), (0, 1), (0.5, 1), (1, 1), (1.5, 2), (9, 9), (9.5, 10), (60, 10)]
)
async def test_a_range_begins_with_the_last_entry_before_it(
    client: TestClientProtocol, sql: Sql, minutes: float, first: int
) -> None:
    await _fill(sql, 10)
    begin = (START + timedelta(minutes=minutes)).isoformat()
    told = await _history(client, **{"from": begin})
    assert [point["accountSeq"] for point in told["points"]] == list(range(first, 11))
    assert told["entries"] == 11 - first


BAD = ["from=yesterday", "limit=1", "limit=201", "limit=x", "currency=usd", "until=2026-01-01"]


@pytest.mark.parametrize("query", BAD)
async def test_an_invalid_range_is_rejected(client: TestClientProtocol, query: str) -> None:
    answer = await client.get(f"/accounts/acc_1/balance-history?{query}")
    assert (answer.status_code, (await answer.get_json())["code"]) == (422, "validation_error")


async def test_an_account_with_many_entries_is_not_read_whole(
    client: TestClientProtocol, sql: Sql
) -> None:
    await _fill(sql, 20_000)
    await sql.execute("VACUUM ANALYZE ledger_entries")
    await sql.execute("SELECT pg_stat_force_next_flush()")
    count = "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_user_tables WHERE relname = $1"

    async def rows_read() -> int:
        before = await sql.fetchval(count, "ledger_entries")
        told = await _history(client, **{"from": "2026-01-05T00:00:00Z"})
        assert told["entries"] == 20_000 - 5_760 + 1

        async def read() -> int:
            now: int = await sql.fetchval(count, "ledger_entries")
            return now - int(before)

        await until(read)
        return await read()

    # A connection may report only now what it read for an earlier test.
    rows = await rows_read()
    assert rows < 1_000 or await rows_read() < 1_000
