"""The list of accounts: by name and currency, by prefix, page by page."""

from typing import Any

import pytest
from quart.typing import TestClientProtocol

from payments_api.accounts import queries
from testkit.database.sql import Sql

NAMES = ["A", "Zed", "_x", "a", "a-b", "a.b", "ab", "acme~a", "b", "sys:clearing:00"]
ADD = """
INSERT INTO accounts (account_id, currency, balance, seq, debits, credits)
SELECT name, currency, -1.5, 1, 1.5, 0
FROM unnest($1::text[]) AS name, unnest('{USD,EUR}'::text[]) AS currency"""


@pytest.fixture
async def accounts(sql: Sql) -> list[tuple[str, str]]:
    """Return the accounts, each in two currencies, in the order of the list."""
    await sql.execute(ADD, NAMES)
    return [(name, currency) for name in NAMES for currency in ("EUR", "USD")]


async def _page(client: TestClientProtocol, query: str = "") -> Any:
    answer = await client.get(f"/accounts?{query}")
    assert answer.status_code == 200, await answer.get_data()
    return await answer.get_json()


def _names(page: Any) -> list[tuple[str, str]]:
    return [(account["accountId"], account["currency"]) for account in page["accounts"]]


async def test_accounts_are_listed_by_name_and_currency(
    client: TestClientProtocol, accounts: list[tuple[str, str]]
) -> None:
    page = await _page(client)
    assert _names(page) == accounts
    first = {"accountId": "A", "currency": "EUR", "balance": "-1.5"}
    assert (page["accounts"][0], page["nextCursor"]) == (first, None)


@pytest.mark.parametrize("limit", [1, 3, 7])
async def test_pages_show_each_account_once(
    client: TestClientProtocol, accounts: list[tuple[str, str]], limit: int
) -> None:
    found, cursor = [], ""
    for _ in range(len(accounts)):
        page = await _page(client, f"limit={limit}{cursor}")
        found += _names(page)
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert found == accounts


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 3, 7])
async def test_paging_back_shows_the_same_accounts(
    client: TestClientProtocol, accounts: list[tuple[str, str]], limit: int, order: str
) -> None:
    forward, cursor = [], ""
    while True:
        page = await _page(client, f"limit={limit}&order={order}{cursor}")
        forward.append(_names(page))
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert [name for names in forward for name in names] == (
        accounts if order == "asc" else accounts[::-1]
    )
    for expected in forward[-2::-1]:
        page = await _page(client, f"limit={limit}&order={order}&cursor={page['previousCursor']}")
        assert _names(page) == expected
    assert page["previousCursor"] is None


@pytest.mark.parametrize(("prefix", "number"), [("", 9), ("a", 5), ("sys:", 1), ("zz", 0)])
async def test_totals_exclude_the_ledgers_own_accounts_unless_named(
    client: TestClientProtocol, accounts: list[tuple[str, str]], prefix: str, number: int
) -> None:
    answer = await client.get(f"/accounts/totals?prefix={prefix}")
    each = {"accounts": number, "balance": f"{-1.5 * number:.1f}"}
    totals = [{"currency": currency, **each} for currency in ("EUR", "USD")] if number else []
    expected = {"totals": totals, "examinedMax": queries.ACCOUNTS_SUMMED_MAX, "complete": True}
    assert await answer.get_json() == expected


async def test_too_many_accounts_have_no_totals(
    client: TestClientProtocol, accounts: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for most, complete in ((18, True), (17, False)):
        monkeypatch.setattr(queries, "ACCOUNTS_SUMMED_MAX", most)
        told = await (await client.get("/accounts/totals")).get_json()
        assert (told["complete"], bool(told["totals"])) == (complete, complete)


@pytest.mark.parametrize("prefix", ["a", "a-", "ab", "acme~", "sys:", "A", "c", "_", "Zed"])
async def test_a_prefix_narrows_the_list(
    client: TestClientProtocol, accounts: list[tuple[str, str]], prefix: str
) -> None:
    expected = [account for account in accounts if account[0].startswith(prefix)]
    assert _names(await _page(client, f"prefix={prefix}")) == expected


@pytest.mark.parametrize("query", ["prefix=%20", "prefix=a%2Fb", "prefix=-", "prefix=~", "after=a"])
async def test_an_invalid_prefix_is_rejected(client: TestClientProtocol, query: str) -> None:
    answer = await client.get(f"/accounts?{query}")
    assert (answer.status_code, (await answer.get_json())["code"]) == (422, "validation_error")


async def test_a_cursor_is_valid_only_for_its_prefix(
    client: TestClientProtocol, accounts: list[tuple[str, str]]
) -> None:
    cursor = (await _page(client, "prefix=a&limit=1"))["nextCursor"]
    answer = await client.get(f"/accounts?prefix=b&limit=1&cursor={cursor}")
    assert (answer.status_code, (await answer.get_json())["code"]) == (400, "invalid_cursor")


async def test_a_page_reads_one_range_of_the_index(sql: Sql) -> None:
    await sql.execute(ADD, [f"acc_{n}" for n in range(5000)])
    await sql.execute("ANALYZE accounts")
    plan = await sql.fetch(
        """EXPLAIN SELECT account_id FROM accounts
        WHERE account_id COLLATE "C" >= 'acc_9' AND account_id COLLATE "C" < 'acc_9\x7f'
          AND (account_id COLLATE "C", currency COLLATE "C") > ('acc_91', 'EUR')
        ORDER BY account_id COLLATE "C", currency COLLATE "C" LIMIT 51"""
    )
    text = "\n".join(row[0] for row in plan)
    assert "accounts_by_name" in text
    assert "Seq Scan" not in text
