"""Lists of payments: any filter, page by page, while payments are created."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from quart import Quart
from quart.typing import TestClientProtocol

from testkit.database.sql import Sql
from testkit.waiting import until

from .conftest import create_payment, get_page, until_settled


async def _all_pages(client: TestClientProtocol, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    for _ in range(100):
        page = await (await get_page(client, "/payments", **query, **cursor)).get_json()
        found += page["payments"]
        if page["nextCursor"] is None:
            return found
        cursor = {"cursor": page["nextCursor"]}
    raise AssertionError("the pages do not end")


BAD_QUERIES = [
    # query, status, field in the error
    ("limit=0", 422, "limit"),
    ("limit=-1", 422, "limit"),
    ("limit=201", 422, "limit"),
    ("limit=1e9", 422, "limit"),
    ("limit=1.5", 422, "limit"),
    ("limit=99999999999999999999", 422, "limit"),
    ("limit=abc", 422, "limit"),
    ("limit=", 422, "limit"),
    ("limit=%D9%A3", 422, "limit"),
    ("limit=1&limit=2", 422, "limit"),
    ("status=done", 422, "status"),
    ("status=", 422, "status"),
    ("status=Pending", 422, "status"),
    ("accountId=", 422, "accountId"),
    ("accountId=a/b", 422, "accountId"),
    ("accountId=a%00", 422, "accountId"),
    ("accountId=" + "a" * 2000, 422, "accountId"),
    ("currency=usd", 422, "currency"),
    ("currency=ZZZZ", 422, "currency"),
    ("discrepancy=1", 422, "discrepancy"),
    ("discrepancy=", 422, "discrepancy"),
    ("page=2", 422, "page"),
    ("Limit=2", 422, "Limit"),
    ("%00=2", 422, "\0"),
    ("createdFrom=2026-01-31", 422, "createdFrom"),
    ("createdFrom=2026-01-31T12:00:00", 422, "createdFrom"),
    ("createdFrom=2026-02-30T12:00:00Z", 422, "createdFrom"),
    ("createdFrom=2026-01-31T25:00:00Z", 422, "createdFrom"),
    ("createdFrom=2026-01-31T12:00:60Z", 422, "createdFrom"),
    ("createdFrom=10000-01-01T00:00:00Z", 422, "createdFrom"),
    ("createdFrom=0000-01-01T00:00:00Z", 422, "createdFrom"),
    ("createdFrom=0001-01-01T00:00:00%2B14:00", 422, "createdFrom"),
    ("createdTo=9999-12-31T23:59:59-14:00", 422, "createdTo"),
    ("createdFrom=1769860800", 422, "createdFrom"),
    ("createdFrom=now", 422, "createdFrom"),
    ("createdFrom=%D9%A22026-01-31T12:00:00Z", 422, "createdFrom"),
    ("cursor=", 400, None),
    ("cursor=x", 400, None),
    ("cursor=%00", 422, "cursor"),
    ("cursor=" + "A" * 999, 400, None),
    ("cursor=" + "A" * 2000, 422, "cursor"),
    ("cursor=%F0%9F%98%80", 400, None),
]


@pytest.mark.parametrize(("query", "status", "named"), BAD_QUERIES)
async def test_each_bad_query_is_rejected_by_name(
    client: TestClientProtocol, query: str, status: int, named: str | None
) -> None:
    answer = await client.get(f"/payments?{query}")
    body = await answer.get_json()
    assert (answer.status_code, body["status"]) == (status, status)
    if named is None:
        assert body["code"] == "invalid_cursor"
    else:
        assert [error["field"] for error in body["errors"]] == [named]


GOOD_QUERIES = [
    "limit=1",
    "limit=200",
    "limit=007",
    "status=pending&accountId=acc_1&currency=USD&discrepancy=false",
    "createdFrom=0001-01-01T00:00:00Z&createdTo=9999-12-31T23:59:59.999999Z",
    "createdFrom=2026-01-31t12:00:00.123456789z",
    "createdFrom=2026-01-31T12:00:00+01:00",
    "createdFrom=2026-01-31T12:00:00%2B01:00",
    "createdFrom=2026-01-31%2012:00:00-05:30",
    "createdFrom=2026-03-29T02:30:00%2B01:00",  # An hour that daylight saving time skips in Berlin.
]


@pytest.mark.parametrize("query", GOOD_QUERIES)
async def test_each_good_query_is_answered(client: TestClientProtocol, query: str) -> None:
    assert (await client.get(f"/payments?{query}")).status_code == 200


async def test_an_inverted_range_is_empty(client: TestClientProtocol) -> None:
    await create_payment(client)
    query = {"createdFrom": "2027-01-01T00:00:00Z", "createdTo": "2026-01-01T00:00:00Z"}
    found = await (await get_page(client, "/payments", **query)).get_json()
    assert found == {
        "payments": [],
        "nextCursor": None,
        "previousCursor": None,
        "searchedUntil": None,
    }


async def test_created_from_is_included_and_created_to_is_not(client: TestClientProtocol) -> None:
    made = [await create_payment(client) for _ in range(3)]
    first, second, third = (payment["createdAt"] for payment in made)
    found = await _all_pages(client, createdFrom=second, createdTo=third)
    assert [payment["id"] for payment in found] == [made[1]["id"]]
    at = datetime.fromisoformat(first).astimezone(UTC)
    for hours in (-8, 0, 14):
        local = at.astimezone(tz=timezone(timedelta(hours=hours))).isoformat()
        assert len(await _all_pages(client, createdFrom=local)) == 3


async def test_each_filter_finds_its_payments(
    client: TestClientProtocol, sql: Sql, start_worker: Callable[..., Any]
) -> None:
    await start_worker()
    for account, currency, amount in (
        ("a", "USD", "1.00"),
        ("a", "EUR", "7.13"),
        ("b", "USD", "-1.00"),
        ("b", "JPY", "5"),
    ):
        await create_payment(client, accountId=account, currency=currency, amount=amount)
    await until_settled(sql, 4)

    async def amounts(**query: str) -> list[str]:
        return [payment["amount"] for payment in await _all_pages(client, limit=1, **query)]

    assert await amounts() == ["5", "-1.00", "7.13", "1.00"]
    assert await amounts(accountId="a") == ["7.13", "1.00"]
    assert await amounts(accountId="A") == []
    assert await amounts(currency="USD") == ["-1.00", "1.00"]
    assert await amounts(status="completed") == ["5", "7.13", "1.00"]
    assert await amounts(status="failed") == ["-1.00"]
    assert await amounts(status="pending") == []
    assert await amounts(discrepancy="true") == ["7.13"]
    assert await amounts(discrepancy="true", accountId="b") == []


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 10, 11])
async def test_pages_of_any_size_list_every_payment_once_newest_first(
    client: TestClientProtocol, limit: int
) -> None:
    made = [(await create_payment(client))["id"] for _ in range(10)]
    found = [payment["id"] for payment in await _all_pages(client, limit=limit)]
    assert found == made[::-1]


async def test_payments_created_during_paging_cause_no_repeats_or_gaps(
    client: TestClientProtocol,
) -> None:
    made = [(await create_payment(client))["id"] for _ in range(9)]
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await (await get_page(client, "/payments", limit=2, **cursor)).get_json()
        found += [payment["id"] for payment in page["payments"]]
        if page["nextCursor"] is None:
            break
        cursor = {"cursor": page["nextCursor"]}
        await create_payment(client)
    assert found == made[::-1]


async def test_payments_of_the_same_time_are_listed_once_each(
    client: TestClientProtocol, sql: Sql
) -> None:
    at, order = datetime(2026, 1, 1, tzinfo=UTC), 0x019B76DA_A800 << 80
    await sql.executemany(
        "INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount,"
        " currency, description, created_at, updated_at)"
        " VALUES ($1, $2, $3, 'acc_1', 1, 'USD', '', $4, $4)",
        [(UUID(int=order + n), f"k{n}", bytes(32), at) for n in range(7)],
    )
    found = [payment["id"] for payment in await _all_pages(client, limit=3)]
    assert found == [str(UUID(int=order + n)) for n in reversed(range(7))]


async def test_only_payments_of_the_last_minute_can_appear_late(
    app: Quart, client: TestClientProtocol, sql: Sql
) -> None:
    """A payment has the time of its transaction's begin, and is listed after its commit."""
    key, body = {"Idempotency-Key": "awaited"}, {"accountId": "a", "amount": "1.00"}
    in_flight = sql.transaction()
    await in_flight.start()
    await sql.execute(
        "INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount,"
        " currency, description) VALUES ($1, 'awaited', $2, 'a', 1.00, 'USD', '')",
        *(uuid4(), bytes(32)),
    )
    creation = asyncio.create_task(client.post("/payments", json=body, headers=key))
    await until(lambda: sql.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
    until_now = datetime.now(UTC).isoformat()
    assert await _all_pages(client, createdTo=until_now) == []
    await in_flight.rollback()
    assert (await creation).status_code == 201
    assert len(await _all_pages(client, createdTo=until_now)) == 1
    # A creation lasts at most as long as the statement timeout.
    async with app.extensions["payments_api"].read() as tx:
        settings = await tx.exec_driver_sql(
            "SELECT sum(setting::int) FROM pg_settings WHERE name IN"
            " ('statement_timeout', 'idle_in_transaction_session_timeout')"
        )
        assert 0 < settings.scalar_one() < 60_000
