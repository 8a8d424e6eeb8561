"""Which sessions can hold up the creation of endpoints."""

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import create_engine, transaction
from payments_core.webhooks.endpoints import EndpointFields, create_endpoint

LOCK = "LOCK TABLE webhook_secrets IN SHARE UPDATE EXCLUSIVE MODE"


async def _create(engine: AsyncEngine) -> None:
    async with transaction(engine) as tx:
        fields = EndpointFields("https://hooks.example.com/")
        await create_endpoint(tx, fields, None, Operator("ann"))


async def test_a_reader_cannot_hold_up_the_creation_of_an_endpoint(
    database_url: str, api_url_of_database: str
) -> None:
    engine = create_engine(api_url_of_database, application_name="test", pool_size=1)
    session = await asyncpg.connect(database_url.replace("postgres@", "payments_readonly@"))
    creation = await asyncpg.connect(database_url)
    try:
        await session.execute("SELECT pg_advisory_lock(22376)")
        await session.execute("BEGIN; SELECT id FROM webhook_secrets")
        await _create(engine)
        await session.execute("ROLLBACK; SET default_transaction_read_only = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.execute(f"BEGIN; {LOCK}")
        await session.execute("ROLLBACK")
        await creation.execute(f"BEGIN; {LOCK}")
        assert await session.fetchval("SELECT count(endpoint_id) FROM webhook_secrets") == 1
    finally:
        await creation.close()
        await session.close()
        await engine.dispose()
