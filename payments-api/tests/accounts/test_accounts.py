"""An account's balance, past balances and statement, compared with a simple model of the ledger."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quart.typing import TestClientProtocol
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api.accounts import queries
from payments_api.accounts.queries import balance_at, balance_of
from payments_core.db.engine import single_statement
from testkit.database.ledgers.settled import until_all_settled
from testkit.database.sql import Sql

from .conftest import START, get_ok, post_entries

MICROSECOND = timedelta(microseconds=1)


@pytest.mark.parametrize("query", [{}, {"at": "2026-01-01T00:00:00Z"}, {"currency": "JPY"}])
async def test_an_account_without_payments_has_balance_zero(
    client: TestClientProtocol, query: dict[str, str]
) -> None:
    found = await get_ok(client, "/accounts/nobody/balance", **query)
    assert found["balance"] == ("0" if "currency" in query else "0.00")
    assert await get_ok(client, "/accounts/nobody/entries") == {
        "entries": [],
        "nextCursor": None,
        "previousCursor": None,
    }
    assert await get_ok(client, "/accounts/nobody/currencies") == {"currencies": []}


async def test_a_pending_payment_is_not_in_the_balance(client: TestClientProtocol) -> None:
    body = {"accountId": "acc_1", "amount": 1}
    await client.post("/payments", json=body, headers={"Idempotency-Key": "k"})
    assert (await get_ok(client, "/accounts/acc_1/balance"))["balance"] == "0.00"


async def test_a_balance_beyond_float_precision_is_exact(
    client: TestClientProtocol, sql: Sql
) -> None:
    most = Decimal("999999999999999.99")
    await post_entries(sql, "acc_1", [(START, most)] * 20)
    found = await get_ok(client, "/accounts/acc_1/balance")
    assert found == {
        "accountId": "acc_1",
        "balance": "19999999999999999.80",
        "currency": "USD",
        "sequence": 20,
        "pending": "0.00",
    }


BOUNDARIES = [
    # microseconds after the first entry, expected balance
    (-1, "0.00"),
    (0, "1.00"),
    (1, "1.00"),
    (999_999, "1.00"),
    (1_000_000, "7.00"),  # Two entries of the same time count together.
    (1_000_001, "7.00"),
    (5_000_000, "15.00"),
    (10**12, "15.00"),
]


@pytest.mark.parametrize(("after", "held"), BOUNDARIES)
async def test_a_balance_at_a_time_includes_entries_of_that_time(
    client: TestClientProtocol, sql: Sql, after: int, held: str
) -> None:
    seconds = (0, 1, 1, 5)
    amounts = (Decimal("1.00"), Decimal("2.00"), Decimal("4.00"), Decimal("8.00"))
    entries = [
        (START + timedelta(seconds=s), amount) for s, amount in zip(seconds, amounts, strict=True)
    ]
    await post_entries(sql, "acc_1", entries)
    at = (START + after * MICROSECOND).isoformat()
    found = await get_ok(client, "/accounts/acc_1/balance", at=at)
    assert found["balance"] == held
    assert datetime.fromisoformat(found["at"]) == datetime.fromisoformat(at)


async def test_a_future_time_has_the_current_balance_and_time(
    client: TestClientProtocol, sql: Sql
) -> None:
    await post_entries(sql, "acc_1", [(START, Decimal("1.00"))])
    began = datetime.now(UTC)
    found = await get_ok(client, "/accounts/acc_1/balance", at="9999-12-31T23:59:59Z")
    assert found["balance"] == "1.00"
    assert began <= datetime.fromisoformat(found["at"]) <= datetime.now(UTC)


@pytest.fixture
async def posting(database_url: str, sql: Sql) -> AsyncIterator[Sql]:
    """Open a second connection with a transaction that has posted 1.00 to acc_1."""
    connection = await asyncpg.connect(database_url)
    transaction = connection.transaction()
    await transaction.start()
    now = await connection.fetchval("SELECT clock_timestamp()")
    await post_entries(connection, "acc_1", [(now, Decimal("1.00"))])
    yield connection
    await connection.close()


async def test_a_balance_at_a_time_waits_for_open_postings(
    client: TestClientProtocol, posting: Sql
) -> None:
    moment = datetime.now(UTC).isoformat()
    asked = asyncio.create_task(get_ok(client, "/accounts/acc_1/balance", at=moment))
    await asyncio.sleep(0.3)
    assert not asked.done(), "the posting may still commit"
    assert (await get_ok(client, "/accounts/acc_1/balance"))["balance"] == "0.00"
    long_ago = await get_ok(client, "/accounts/acc_1/balance", at=START.isoformat())
    assert long_ago["balance"] == "0.00", "final without a wait"
    await posting.execute("COMMIT")
    assert (await asked)["balance"] == "1.00"
    again = await get_ok(client, "/accounts/acc_1/balance", at=moment)
    assert again == await asked


@pytest.mark.usefixtures("posting")
async def test_a_balance_that_is_not_final_in_time_gets_503(
    client: TestClientProtocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "FINAL_WAIT_SECONDS", 0.1)
    moment = datetime.now(UTC).isoformat()
    answer = await client.get(f"/accounts/acc_1/balance?{urlencode({'at': moment})}")
    assert answer.status_code == 503
    assert (await answer.get_json())["code"] == "balance_not_final"
    assert answer.headers["Retry-After"] == "1"


async def test_the_balance_at_any_time_equals_a_naive_sum(engine: AsyncEngine, sql: Sql) -> None:
    loop = asyncio.get_running_loop()
    number = 0

    async def compare(steps: list[tuple[int, int]], looks: list[int]) -> None:
        nonlocal number
        number += 1
        account = f"model-{number}"
        at, entries = START, []
        for gap, cents in steps:
            at += gap * MICROSECOND
            entries.append((at, Decimal(cents) / 100))
        await post_entries(sql, account, entries)
        async with single_statement(engine) as tx:
            for look in looks:
                when = START + look * MICROSECOND
                naive = sum((amount for at, amount in entries if at <= when), Decimal(0))
                balance, _ = await balance_at(tx, account, "USD", when)
                assert balance == naive
            total = sum(a for _, a in entries)
            assert await balance_of(tx, account, "USD") == (total, len(entries))

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(st.tuples(st.integers(0, 3), st.integers(1, 10**6)), min_size=1, max_size=25),
        st.lists(st.integers(-2, 80), min_size=1, max_size=8),
    )
    def agrees(steps: list[tuple[int, int]], looks: list[int]) -> None:
        asyncio.run_coroutine_threadsafe(compare(steps, looks), loop).result()

    await asyncio.to_thread(agrees)


async def test_each_currency_is_a_separate_account(
    client: TestClientProtocol, start_worker: Callable[..., Any], sql: Any
) -> None:
    for currency, amount in (("USD", "1.50"), ("JPY", "7"), ("BHD", "0.125"), ("USD", "2")):
        body = {"accountId": "acc_1", "amount": amount, "currency": currency}
        headers = {"Idempotency-Key": f"{currency}{amount}"}
        await client.post("/payments", json=body, headers=headers)
    await start_worker()
    await until_all_settled(sql)
    balances = {
        currency: (await get_ok(client, "/accounts/acc_1/balance", currency=currency))["balance"]
        for currency in ("USD", "JPY", "BHD", "EUR")
    }
    assert balances == {"USD": "3.50", "JPY": "7", "BHD": "0.125", "EUR": "0.00"}
    found = await get_ok(client, "/accounts/acc_1/currencies")
    assert found == {"currencies": ["BHD", "JPY", "USD"]}
    entries = (await get_ok(client, "/accounts/acc_1/entries", currency="BHD"))["entries"]
    assert [(e["amount"], e["balanceAfter"]) for e in entries] == [("0.125", "0.125")]


BAD_QUERIES = [
    ("/accounts/acc_1/balance?at=2026-01-01", "at"),
    ("/accounts/acc_1/balance?at=2026-01-01T00:00:00", "at"),
    ("/accounts/acc_1/balance?at=yesterday", "at"),
    ("/accounts/acc_1/balance?at=", "at"),
    ("/accounts/acc_1/balance?at=0001-01-01T00:00:00%2B23:59", "at"),
    ("/accounts/acc_1/balance?currency=", "currency"),
    ("/accounts/acc_1/balance?currency=usd", "currency"),
    ("/accounts/acc_1/balance?limit=1", "limit"),
    ("/accounts/acc_1/balance?currency=USD&currency=EUR", "currency"),
    ("/accounts/acc_1/entries?limit=0", "limit"),
    ("/accounts/acc_1/entries?at=2026-01-01T00:00:00Z", "at"),
    ("/accounts/acc_1/currencies?currency=USD", "currency"),
]


@pytest.mark.parametrize(("address", "named"), BAD_QUERIES)
async def test_each_bad_query_is_rejected_by_name(
    client: TestClientProtocol, address: str, named: str
) -> None:
    answer = await client.get(address)
    assert answer.status_code == 422
    assert [error["field"] for error in (await answer.get_json())["errors"]] == [named]


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
async def test_the_first_and_last_year_are_valid_times(client: TestClientProtocol, at: str) -> None:
    assert (await get_ok(client, "/accounts/acc_1/balance", at=at))["balance"] == "0.00"
