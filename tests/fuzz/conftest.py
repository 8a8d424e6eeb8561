"""The API over HTTP, for a client in another process."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from payments_api.app import create_app
from payments_api.auth.caller import SCOPES
from payments_api.auth.keys import KeyGrant, add_key, new_key
from payments_api.settings import ApiSettings
from payments_core.db.engine import create_engine, transaction
from payments_core.server.options import Lifecycle, ServeOptions
from payments_core.server.run import serve
from payments_local.ports import free_port


@pytest.fixture
async def api_key(database_url: str) -> str:
    """Return a key with all scopes."""
    key, engine = new_key(), create_engine(database_url, application_name="test", pool_size=1)
    async with transaction(engine) as tx:
        await add_key(tx, key, KeyGrant("of a test", frozenset(SCOPES)))
    await engine.dispose()
    return key


@pytest.fixture
async def api_url(api_url_of_database: str) -> AsyncIterator[str]:
    """Return the address of an API with default settings, which requires keys."""
    settings = ApiSettings.model_validate({"DATABASE_URL": api_url_of_database})
    lifecycle, listen = Lifecycle(), ServeOptions("127.0.0.1", free_port(), 2.0)
    ended = asyncio.create_task(serve(create_app(settings, lifecycle), listen, lifecycle))
    url = f"http://{listen.host}:{listen.port}"
    async with httpx.AsyncClient() as http:
        while not ended.done():
            try:
                await http.get(f"{url}/livez")
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.02)
    yield url
    lifecycle.stopping.set()
    await asyncio.wait_for(ended, 20)
