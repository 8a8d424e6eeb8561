"""Cursors of lists of payments: signed, bound to their list, valid at every replica."""

import base64

from quart.typing import TestClientProtocol

from payments_api.app import create_app
from payments_api.settings import ApiSettings

from .conftest import create_payment, get_page


async def test_an_altered_cursor_is_rejected(
    client: TestClientProtocol,
) -> None:
    for _ in range(3):
        await create_payment(client)
    cursor = (await (await client.get("/payments?limit=1")).get_json())["nextCursor"]
    spoilt = [cursor[:-1], cursor[1:], cursor + "A", cursor + "=", cursor.lower(), cursor * 2]
    for at in range(len(cursor)):
        other = "B" if cursor[at] == "A" else "A"
        spoilt.append(cursor[:at] + other + cursor[at + 1 :])
    for text in spoilt:
        answer = await get_page(client, "/payments", limit=1, cursor=text)
        assert answer.status_code == 400, text
        assert (await answer.get_json())["code"] == "invalid_cursor"


async def test_a_cursor_is_valid_only_for_its_list_and_filters(client: TestClientProtocol) -> None:
    for _ in range(3):
        await create_payment(client)
    cursor = (await (await client.get("/payments?limit=1")).get_json())["nextCursor"]
    for address, query in (
        ("/payments", {"accountId": "acc_1"}),
        ("/payments", {"status": "pending"}),
        ("/payments", {"createdFrom": "2026-01-01T00:00:00Z"}),
        ("/accounts/acc_1/entries", {}),
        ("/jobs", {}),
        ("/jobs/actions", {}),
    ):
        answer = await get_page(client, address, **query, cursor=cursor)
        assert answer.status_code == 400, (address, query)
    # Another limit does not make another list.
    assert (await get_page(client, "/payments", limit=2, cursor=cursor)).status_code == 200


async def test_a_cursor_contains_no_secret_and_cannot_be_forged(client: TestClientProtocol) -> None:
    payments = [await create_payment(client) for _ in range(2)]
    cursor = (await (await client.get("/payments?limit=1")).get_json())["nextCursor"]
    raw = base64.urlsafe_b64decode(cursor + "==")
    assert raw[16:].decode() == payments[1]["id"]
    forged = base64.urlsafe_b64encode(bytes(16) + raw[16:]).decode().rstrip("=")
    assert (await get_page(client, "/payments", cursor=forged)).status_code == 400


async def test_another_replica_accepts_the_cursor(
    client: TestClientProtocol, api_url_of_database: str
) -> None:
    for _ in range(2):
        await create_payment(client)
    cursor = (await (await client.get("/payments?limit=1")).get_json())["nextCursor"]
    settings = ApiSettings.model_validate({"auth": "off", "DATABASE_URL": api_url_of_database})
    async with create_app(settings).test_app() as app:
        assert (await get_page(app.test_client(), "/payments", cursor=cursor)).status_code == 200
    other = ApiSettings.model_validate(
        {"auth": "off", "DATABASE_URL": api_url_of_database, "cursor_key": "another key of ours"}
    )
    async with create_app(other).test_app() as app:
        assert (await get_page(app.test_client(), "/payments", cursor=cursor)).status_code == 400
