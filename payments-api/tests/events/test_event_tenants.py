"""The event log of tenants: no event and no number of another tenant."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from quart import Quart
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api.auth.keys import KeyGrant, add_key, new_key
from payments_core.db import event_log as log
from payments_core.db.engine import create_engine, single_statement, transaction
from testkit.database.sql import Sql

from .conftest import idempotency


async def test_only_its_tenant_sees_the_event_of_a_disabled_webhook(
    sql: Sql, engine: AsyncEngine
) -> None:
    add = (
        "INSERT INTO webhook_endpoints (id, url, tenant)"
        " VALUES (gen_random_uuid(), 'https://hooks.example.com', $1) RETURNING id"
    )
    disable = (
        "WITH disabled AS (UPDATE webhook_endpoints SET enabled_at = NULL, disabled_reason = 'gone'"
        " WHERE id = $1 RETURNING id)"
        " INSERT INTO webhook_disablings (endpoint_id, reason) SELECT id, 'gone' FROM disabled"
    )
    for owner in ("blue", "bluest", None):
        await sql.execute(disable, await sql.fetchval(add, owner))
    seen = {}
    async with single_statement(engine) as connection:
        last = await log.last_final_position(connection, 0)
        for tenant in ("blue", "bluest", "green", None):
            page = await log.read_events(connection, 0, last, 10, tenant=tenant)
            events = [log.event_json(row, tenant) for row in page.rows]
            assert {event["type"] for event in events} <= {"webhook.disabled"}
            seen[tenant] = [(row.tenant, row.notes) for row in page.rows]
    assert seen == {
        "blue": [("blue", "gone")],
        "bluest": [("bluest", "gone")],
        "green": [],
        None: [("blue", "gone"), ("bluest", "gone"), (None, "gone")],
    }


async def test_a_tenant_learns_neither_others_events_nor_their_number(
    kept: Quart, database_url: str, start_worker: Callable[..., Any]
) -> None:
    owner = create_engine(database_url, application_name="test", pool_size=1)
    headers = {}
    for tenant in ("blue", "green", None):
        key = new_key()
        async with transaction(owner) as tx:
            scopes = frozenset({"payments:write", "events:read"})
            await add_key(tx, key, KeyGrant("of a test", scopes, tenant))
        headers[tenant] = {"Authorization": f"Bearer {key}"}
    await owner.dispose()
    client = kept.test_client()
    for tenant, count in (("blue", 3), ("green", 2)):
        for number in range(count):
            await client.post(
                "/payments",
                json={"accountId": "a", "amount": 1},
                headers={**headers[tenant], **idempotency(f"k{number}")},
            )
    await start_worker()
    for tenant, count in (("blue", 3), ("green", 2), (None, 5)):
        events: list[Any] = []
        after: dict[str, str] = {}
        while len(events) < count:
            answer = await client.get(f"/events?{urlencode(after)}", headers=headers[tenant])
            page = await answer.get_json()
            assert answer.status_code == 200, page
            events += page["events"]
            after = {"after": page["nextAfter"]}
        accounts = {event["data"]["accountId"] for event in events}
        assert accounts == ({"a"} if tenant else {"blue~a", "green~a"})
        assert len({event["id"] for event in events}) == count
    # Another tenant's cursor is rejected.
    answer = await client.get(f"/events?{urlencode(after)}", headers=headers["blue"])
    assert answer.status_code == 400
