"""Which events an endpoint receives, whatever becomes of the cursor."""

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import transaction
from payments_core.webhooks.endpoints import change_endpoint
from recon_worker.webhooks.fan_out import fan_out
from testkit.database.backlog import add_simple, die
from testkit.database.sql import Sql

from .conftest import OPERATOR, NewEndpoint


async def test_an_endpoint_that_is_enabled_again_receives_no_earlier_event(
    sql: Sql, engine: AsyncEngine, new_endpoint: NewEndpoint
) -> None:
    """Not even if the cursor is set back, as by a superuser."""
    endpoint = await new_endpoint()
    early, late = await add_simple(sql, 2)
    for enabled in (False, True):
        async with transaction(engine) as tx:
            await change_endpoint(tx, endpoint.id, None, OPERATOR, enabled=enabled)
        if not enabled:
            await die(sql, early)
            assert not await fan_out(engine)
    await sql.execute("SET session_replication_role = replica")
    await sql.execute("UPDATE webhook_cursor SET position = 0")
    await sql.execute("RESET session_replication_role")
    await die(sql, late)
    await fan_out(engine)
    positions = await sql.fetch("SELECT position FROM webhook_deliveries")
    last = await sql.fetchval("SELECT max(id) FROM job_deaths")
    assert [row["position"] for row in positions] == [last]
