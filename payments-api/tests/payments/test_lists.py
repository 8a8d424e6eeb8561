"""Lists of payments: both orders, both directions, filters without an index, totals."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from quart.typing import TestClientProtocol

from payments_api.payments import queries
from payments_core.db.keyset import EXAMINED_MAX
from payments_core.domain.payments import DESCRIPTION_MAX_CHARS
from testkit.database.sql import Sql

PAYMENTS = 23
# One id per millisecond; every fifth description differs, amounts repeat.
FILL = f"""
INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount, currency,
                      description)
SELECT ('01936f5e-3c' || lpad(to_hex(n), 2, '0') || '-7000-8000-' || lpad(n::text, 12, '0'))::uuid,
       'k' || n, sha256('k'), CASE WHEN n % 3 = 0 THEN 'acc_3' ELSE 'acc_1' END, n % 4,
       CASE WHEN n % 2 = 0 THEN 'USD' ELSE 'JPY' END,
       CASE WHEN n % 5 = 0 THEN 'Invoice 100%_' || n ELSE 'Rent' END
FROM generate_series(1, {PAYMENTS}) AS n"""


@pytest.fixture
async def filled(sql: Sql) -> list[str]:
    """Return the ids of pending payments, newest first."""
    await sql.execute(FILL)
    await sql.execute("INSERT INTO recon_jobs (payment_id) SELECT id FROM payments")
    rows = await sql.fetch("SELECT id::text FROM payments ORDER BY payments.id DESC")
    return [row["id"] for row in rows]


async def _get(client: TestClientProtocol, query: Mapping[str, Any], path: str = "") -> Any:
    answer = await client.get(f"/payments{path}?{urlencode(query)}")
    assert answer.status_code == 200, await answer.get_data()
    return await answer.get_json()


async def _walk(
    client: TestClientProtocol, query: Mapping[str, Any], by: str = "nextCursor", cursor: str = ""
) -> list[Any]:
    """Return the pages from the cursor on, in reading order."""
    pages = []
    for _ in range(100):
        page = await _get(client, {**query, **({"cursor": cursor} if cursor else {})})
        pages.append(page)
        cursor = page[by]
        if cursor is None:
            return pages
    raise AssertionError("the pages do not end")


def _ids(pages: list[Any]) -> list[str]:
    return [payment["id"] for page in pages for payment in page["payments"]]


@pytest.mark.parametrize("order", ["desc", "asc"])
@pytest.mark.parametrize("limit", [1, 7, PAYMENTS, 100])
async def test_paging_forward_and_back_shows_the_same_payments(
    client: TestClientProtocol, filled: list[str], limit: int, order: str
) -> None:
    query = {"limit": limit, "order": order}
    pages = await _walk(client, query)
    assert _ids(pages) == (filled if order == "desc" else filled[::-1])
    assert pages[0]["previousCursor"] is None
    if len(pages) > 1:
        back = await _walk(client, query, "previousCursor", pages[-1]["previousCursor"])
        assert _ids(back[::-1]) == _ids(pages[:-1])
        onward = await _walk(client, query, "nextCursor", back[-1]["nextCursor"])
        assert _ids(back[-1:] + onward) == _ids(pages)


async def test_a_cursor_belongs_to_its_order(client: TestClientProtocol, filled: list[str]) -> None:
    cursor = (await _get(client, {"limit": 1}))["nextCursor"]
    answer = await client.get(f"/payments?limit=1&order=asc&cursor={cursor}")
    assert (answer.status_code, (await answer.get_json())["code"]) == (400, "invalid_cursor")


FILTERS: list[dict[str, str]] = [
    {"description": "invoice"},
    {"description": "100%_"},
    {"description": "0%_1"},
    {"description": "rent", "accountId": "acc_3"},
    {"amount": "3.0"},
    {"amount": "0"},
    {"currency": "JPY", "description": "INVOICE"},
    {"status": "pending", "amount": "1"},
    {"idSuffix": "2"},
]


def _expected(row: Mapping[str, Any], which: Mapping[str, str]) -> bool:
    return (
        which.get("description", "").lower() in row["description"].lower()
        and float(which.get("amount", row["amount"])) == float(row["amount"])
        and which.get("accountId", row["accountId"]) == row["accountId"]
        and which.get("currency", row["currency"]) == row["currency"]
        and row["id"].endswith(which.get("idSuffix", ""))
    )


@pytest.mark.parametrize("order", ["desc", "asc"])
@pytest.mark.parametrize("examined", [1, 4, 1000])
@pytest.mark.parametrize("which", FILTERS, ids=str)
async def test_a_filter_without_an_index_finds_all_over_several_pages(
    client: TestClientProtocol,
    filled: list[str],
    monkeypatch: pytest.MonkeyPatch,
    which: dict[str, str],
    examined: int,
    order: str,
) -> None:
    everything = (await _get(client, {"limit": 100, "order": order}))["payments"]
    expected = [row["id"] for row in everything if _expected(row, which)]
    monkeypatch.setattr(queries, "EXAMINED_MAX", examined)
    query = {**which, "limit": 2, "order": order}
    pages = await _walk(client, query)
    assert expected
    assert _ids(pages) == expected
    back = await _walk(client, query, "previousCursor", pages[-1]["previousCursor"] or "")
    assert _ids(back[::-1]) == _ids(pages[:-1] if len(pages) > 1 else pages)
    for page in pages:
        short = len(page["payments"]) < 2 and page["nextCursor"] is not None
        assert (page["searchedUntil"] is not None) == short


@pytest.mark.parametrize(
    ("prefix", "suffix", "found"),
    [
        ("01936f5e", "", PAYMENTS),
        ("01936F5E-3C0", "", 15),
        ("01936f5e-3c07", "", 1),
        ("01936f5e-3c07", "0007", 1),
        ("01936f5e-3c07", "0008", 0),
        ("01936f5e-3c07-7000-8000-000000000007", "", 1),
        ("01936f5f", "", 0),
        ("ffffffff-ffff", "", 0),
    ],
)
async def test_a_prefix_of_an_id_finds_its_payments(
    client: TestClientProtocol, filled: list[str], prefix: str, suffix: str, found: int
) -> None:
    query = {"idPrefix": prefix, "limit": 100} | ({"idSuffix": suffix} if suffix else {})
    ids = _ids([await _get(client, query)])
    assert len(ids) == found
    assert all(each.startswith(prefix.lower()) and each.endswith(suffix) for each in ids)


BAD = [
    ("order", "newest", "must be one of asc, desc"),
    ("deadLetter", "yes", "must be one of true, false"),
    ("idPrefix", "01936f5", "must be the first 8 or more characters of an id"),
    ("idPrefix", "01936f5e3c07", "must be the first 8 or more characters of an id"),
    ("idPrefix", "01936f5e-", ""),
    ("idPrefix", "01936f5e\n", "must be the first 8 or more characters of an id"),
    ("idPrefix", "01936f5e-3c07-7000-8000-0000000000077", "must be the first 8"),
    ("idSuffix", "", "must be the last 1 to 12 characters of an id"),
    ("idSuffix", "0-7", "must be the last 1 to 12 characters of an id"),
    ("idSuffix", "7\n", "must be the last 1 to 12 characters of an id"),
    ("description", "", "must have 1 to 500 characters"),
    ("description", "x" * (DESCRIPTION_MAX_CHARS + 1), "must have 1 to 500 characters"),
    ("description", "\0", "none of them NUL"),
    ("description", "\ud800", ""),
    ("amount", "", 'must be a plain decimal such as "100.00"'),
    ("amount", "1,000", 'must be a plain decimal such as "100.00"'),
    ("amount", "NaN", 'must be a plain decimal such as "100.00"'),
    ("amount", "1e999999999", "must be a finite number"),
    ("amount", "0.00001", "must not have more than 4 decimals"),
    ("amount", "-1.5", ""),
]


@pytest.mark.parametrize("path", ["", "/totals"])
@pytest.mark.parametrize(("name", "value", "detail"), BAD)
async def test_an_invalid_filter_is_rejected(
    client: TestClientProtocol, name: str, value: str, detail: str, path: str
) -> None:
    text = urlencode({name: value}, errors="surrogatepass")
    answer = await client.get(f"/payments{path}?{text}")
    told = await answer.get_json()
    if not detail:
        assert answer.status_code == 200
        return
    assert (answer.status_code, told["code"]) == (422, "validation_error")
    assert told["errors"][0]["field"] == name
    assert detail in told["errors"][0]["detail"] or (path, name) == ("/totals", "order")


async def test_totals_are_those_of_the_list(
    client: TestClientProtocol, filled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for which in [{}, {"accountId": "acc_3"}, *FILTERS]:
        pages = await _walk(client, {**which, "limit": 100})
        listed = [payment for page in pages for payment in page["payments"]]
        told = await _get(client, which, "/totals")
        assert told["complete"]
        assert told["examinedMax"] == EXAMINED_MAX
        found = {
            each["currency"]: (each["payments"], float(each["amount"])) for each in told["totals"]
        }
        for currency in {each["currency"] for each in listed} | set(found):
            amounts = [float(each["amount"]) for each in listed if each["currency"] == currency]
            assert found[currency] == (len(amounts), sum(amounts))
    monkeypatch.setattr(queries, "EXAMINED_MAX", PAYMENTS)
    assert (await _get(client, {}, "/totals"))["complete"]
    monkeypatch.setattr(queries, "EXAMINED_MAX", PAYMENTS - 1)
    told = await _get(client, {}, "/totals")
    assert (told["totals"], told["complete"]) == ([], False)
    assert not (await _get(client, {"description": "Invoice"}, "/totals"))["complete"]


async def test_dead_letters_are_listed_until_they_are_decided(
    client: TestClientProtocol, sql: Sql, filled: list[str]
) -> None:
    assert (await _get(client, {"deadLetter": "true"}))["payments"] == []
    await sql.execute(
        "UPDATE recon_jobs SET status = 'failed', last_error = 'e' WHERE payment_id IN"
        " (SELECT id FROM payments WHERE account_id = 'acc_3')"
    )
    found = await _get(client, {"deadLetter": "true", "limit": 100})
    assert {payment["accountId"] for payment in found["payments"]} == {"acc_3"}
    for payment in (await _get(client, {"limit": 100}))["payments"]:
        assert payment["deadLetter"] == (payment["accountId"] == "acc_3")
    assert len(found["payments"]) == PAYMENTS // 3
    told = await _get(client, {"deadLetter": "true"}, "/totals")
    assert sum(each["payments"] for each in told["totals"]) == PAYMENTS // 3
    one = await (await client.get(f"/payments/{found['payments'][0]['id']}")).get_json()
    assert one["deadLetter"]
    await sql.execute("UPDATE recon_jobs SET status = 'pending'")
    everything = (await _get(client, {"limit": 100}))["payments"]
    assert not any(payment["deadLetter"] for payment in everything)
    assert (await _get(client, {"deadLetter": "true"}))["payments"] == []
