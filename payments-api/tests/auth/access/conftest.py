"""An API that requires keys, and keys for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import pytest
from prometheus_client import REGISTRY
from quart import Quart
from quart.typing import TestClientProtocol

from payments_api.app import create_app
from payments_api.auth import key_cache
from payments_api.auth.caller import SCOPES
from payments_api.auth.keys import KeyGrant, add_key, new_key
from payments_api.settings import ApiSettings
from payments_core.db.engine import create_engine, transaction
from payments_core.server.options import Lifecycle
from testkit.waiting import WAIT_SECONDS_MAX

Keys: TypeAlias = Callable[..., Awaitable[str]]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reload keys often, so that the tests need not wait."""
    monkeypatch.setattr(key_cache, "REFRESH_SECONDS", 0.2)
    monkeypatch.setattr(key_cache, "LOOK_AGAIN_SECONDS", 0.05)


@pytest.fixture
async def keys(database_url: str) -> AsyncIterator[Any]:
    """Create and end keys with the owner's role."""
    engine = create_engine(database_url, application_name="test", pool_size=2)
    yield engine
    await engine.dispose()


@pytest.fixture
def make_key(keys: Any) -> Keys:
    """Return `await make_key(scope, ..., tenant=None, expires_at=None)`: a new key."""

    async def make(*scopes: str, **fields: Any) -> str:
        key = new_key()
        async with transaction(keys) as tx:
            await add_key(tx, key, KeyGrant("of a test", frozenset(scopes or SCOPES), **fields))
        return key

    return make


@pytest.fixture
async def kept(api_url_of_database: str) -> AsyncIterator[Quart]:
    """Run the API with keys required, in shutdown, so that an event stream ends at once."""
    lifecycle = Lifecycle()
    settings = ApiSettings.model_validate(
        {"DATABASE_URL": api_url_of_database, "latency_target_seconds": 10}
    )
    app = create_app(settings, lifecycle)
    async with app.test_app():
        lifecycle.stopping.set()
        yield app


async def status_becomes(client: TestClientProtocol, key: str, status: int) -> Any:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            answer = await client.get("/payments", headers=bearer(key))
            if answer.status_code == status:
                return await answer.get_json(force=True)
            await asyncio.sleep(0.02)


def refusals(reason: str) -> float:
    return REGISTRY.get_sample_value("payments_api_auth_refusals_total", {"reason": reason}) or 0.0


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
