"""Endpoints of webhooks, stored with the API's own role."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import AnyRow, create_engine, transaction
from payments_core.webhooks import endpoints
from payments_core.webhooks.endpoints import EndpointFields
from testkit.database.sql import Sql

ANN = Operator("ann")
URL = "https://hooks.example.com/in"
FIELDS = EndpointFields(URL, ("payment.completed",), "Shop")


@pytest.fixture
async def api(sql: Sql, api_url_of_database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(api_url_of_database, application_name="test", pool_size=3)
    yield engine
    await engine.dispose()


@pytest.fixture
async def tx(api: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with transaction(api) as tx:
        yield tx


async def new(tx: AsyncConnection, tenant: str | None = None) -> AnyRow:
    return (await endpoints.create_endpoint(tx, FIELDS, tenant, ANN))[0]
