"""Every action is recorded with its operator; only operators' keys may name an operator."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol

from payments_api.auth.caller import JOBS_ADMIN, PAYMENTS_WRITE
from payments_api.auth.keys import KeyGrant, add_key, new_key
from payments_core.db.engine import create_engine, transaction
from testkit.database.sql import Sql
from testkit.paging import read_both_ways

ADA = {"Payments-Operator": "Ada%20L%C3%B6v%40example.com"}
BODY = {"accountId": "a", "amount": "5.00"}


async def pay(client: TestClientProtocol, key: str, **headers: str) -> Any:
    return await client.post("/payments", json=BODY, headers={"Idempotency-Key": key, **headers})


async def actions(client: TestClientProtocol, query: str = "", **headers: str) -> Any:
    answer = await client.get(f"/operator-actions{query}", headers=headers)
    assert answer.status_code == 200, await answer.get_data()
    return await answer.get_json()


async def test_an_operators_payment_is_recorded_with_their_name(
    client: TestClientProtocol, sql: Sql
) -> None:
    made = await (await pay(client, "k", **ADA)).get_json()
    again = await pay(client, "k", **ADA)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert await again.get_json() == made
    [record] = (await actions(client))["actions"]
    assert (record["action"], record["actor"]) == ("create", "Ada Löv@example.com")
    assert (record["paymentId"], record["jobIds"]) == (made["id"], [])
    assert await sql.fetchval("SELECT count(*) FROM recon_jobs") == 1


async def test_a_payment_without_an_operator_is_not_recorded(client: TestClientProtocol) -> None:
    assert (await pay(client, "k")).status_code == 201
    assert (await actions(client))["actions"] == []


async def test_a_reused_key_records_no_action(
    client: TestClientProtocol,
) -> None:
    await pay(client, "k")
    headers = {"Idempotency-Key": "k", **ADA}
    refused = await client.post("/payments", json={**BODY, "amount": "6"}, headers=headers)
    assert refused.status_code == 422
    assert (await refused.get_json())["code"] == "idempotency_key_reused"
    assert (await actions(client))["actions"] == []


async def test_payment_and_record_are_stored_together_or_not_at_all(
    client: TestClientProtocol, sql: Sql
) -> None:
    await sql.execute("ALTER TABLE operator_actions ADD CONSTRAINT shut CHECK (false) NOT VALID")
    try:
        assert (await pay(client, "k", **ADA)).status_code == 500
        assert await sql.fetchval("SELECT count(*) FROM payments") == 0
    finally:
        await sql.execute("ALTER TABLE operator_actions DROP CONSTRAINT shut")
    assert (await pay(client, "k", **ADA)).status_code == 201


@pytest.mark.parametrize("name", ["", "%20", "a%0Ab", "%FF", "x" * 201])
async def test_an_invalid_operator_name_is_rejected(client: TestClientProtocol, name: str) -> None:
    answer = await pay(client, "k", **{"Payments-Operator": name})
    assert answer.status_code == 422
    [error] = (await answer.get_json())["errors"]
    assert error["field"] == "Payments-Operator"


async def test_a_batch_has_no_operator(client: TestClientProtocol) -> None:
    body = {"payments": [{"idempotencyKey": "k", **BODY}]}
    assert (await client.post("/payments/batch", json=body, headers=ADA)).status_code == 422


async def test_the_list_is_paged_and_filtered(client: TestClientProtocol) -> None:
    for number, who in enumerate(("ada", "bob", "ada")):
        await pay(client, f"k{number}", **{"Payments-Operator": who})
    assert len((await actions(client, "?actor=ada"))["actions"]) == 2
    assert (await actions(client, "?action=discard"))["actions"] == []
    first = await actions(client, "?limit=2")
    found = await read_both_ways(lambda at: actions(client, f"?limit=2{at}"), "actions")
    assert [each["actor"] for each in found] == ["ada", "bob", "ada"]
    other = await client.get(f"/operator-actions?actor=ada&cursor={first['nextCursor']}")
    assert other.status_code == 400


@pytest.fixture
async def bearer(database_url: str) -> AsyncIterator[Callable[..., Awaitable[dict[str, str]]]]:
    """Return the header of a new key with these scopes."""
    engine = create_engine(database_url, application_name="test", pool_size=2)

    async def make(*scopes: str) -> dict[str, str]:
        key = new_key()
        async with transaction(engine) as tx:
            await add_key(tx, key, KeyGrant("the page", frozenset(scopes)))
        return {"Authorization": f"Bearer {key}"}

    yield make
    await engine.dispose()


async def test_only_an_operators_key_can_name_an_operator(
    kept: Quart, bearer: Callable[..., Awaitable[dict[str, str]]]
) -> None:
    client = kept.test_client()
    shop = await bearer(PAYMENTS_WRITE)
    refused = await pay(client, "k", **shop, **ADA)
    assert refused.status_code == 403
    assert (await pay(client, "k", **shop)).status_code == 201
    page = await bearer(PAYMENTS_WRITE, JOBS_ADMIN)
    assert (await pay(client, "l", **page, **ADA)).status_code == 201
    [record] = (await actions(client, **page))["actions"]
    assert (record["actor"], record["keyName"]) == ("Ada Löv@example.com", "the page")
    assert (await client.get("/operator-actions", headers=shop)).status_code == 403
