"""Clients that manage webhooks."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol

from payments_api.auth.caller import WEBHOOKS_READ, WEBHOOKS_WRITE
from payments_api.auth.keys import KeyGrant, add_key, new_key
from payments_core.db.engine import create_engine, transaction

URL = "https://hooks.example.com/in"
Client = Callable[..., Awaitable[tuple[int, Any]]]


def calling(client: TestClientProtocol, **headers: str) -> Client:
    """Return a function that sends a request and returns the answer's status and JSON."""

    async def call(method: str, path: str, json: Any = None) -> tuple[int, Any]:
        answer = await client.open(path, method=method, json=json, headers=headers)
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.status_code, await answer.get_json() if answer.content_type else None

    return call


@pytest.fixture
def call(client: TestClientProtocol) -> Client:
    """The API with authentication off."""
    return calling(client)


@pytest.fixture
async def party(kept: Quart, database_url: str) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """`await party(tenant, *scopes)`: a client with a fresh key."""
    engine = create_engine(database_url, application_name="test", pool_size=1)

    async def make(tenant: str | None, *scopes: str) -> Client:
        key, granted = new_key(), frozenset(scopes or (WEBHOOKS_READ, WEBHOOKS_WRITE))
        async with transaction(engine) as tx:
            await add_key(tx, key, KeyGrant("of a test", granted, tenant))
        return calling(kept.test_client(), Authorization=f"Bearer {key}")

    yield make
    await engine.dispose()


async def created(call: Client, **fields: Any) -> Any:
    status, webhook = await call("POST", "/webhooks", {"url": URL, **fields})
    assert status == 201, webhook
    return webhook
