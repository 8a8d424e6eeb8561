"""Which events an endpoint receives, whatever becomes of the cursor."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import transaction
from payments_core.webhooks.endpoints import change_endpoint
from recon_worker.webhooks import background, sender
from recon_worker.webhooks.fan_out import Progress, fan_out
from testkit.database.backlog import add_simple, die
from testkit.database.sql import Sql
from testkit.waiting import WAIT_SECONDS_MAX

from .conftest import OPERATOR, NewEndpoint, Sending, until_statuses


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
            assert await fan_out(engine) == Progress()
    await sql.execute("SET session_replication_role = replica")
    await sql.execute("UPDATE webhook_cursor SET position = 0")
    await sql.execute("RESET session_replication_role")
    await die(sql, late)
    await fan_out(engine)
    positions = await sql.fetch("SELECT position FROM webhook_deliveries")
    last = await sql.fetchval("SELECT max(id) FROM job_deaths")
    assert [row["position"] for row in positions] == [last]


async def test_the_sender_is_woken_for_new_deliveries_alone(
    sql: Sql, engine: AsyncEngine, new_endpoint: NewEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Woken by each look at the log, it would claim as often, and an idle worker is not idle."""
    await new_endpoint()
    (job,) = await add_simple(sql, 1)
    done: list[Progress] = []
    woken_after: list[Progress] = []
    enough = asyncio.Event()

    async def counted(engine: AsyncEngine) -> Progress:
        if len(done) == 3:
            await die(sql, job)
        done.append(await fan_out(engine))
        if len(done) == 7:
            enough.set()
        return done[-1]

    monkeypatch.setattr(background, "fan_out", counted)
    monkeypatch.setattr(background, "FAN_OUT_POLL_SECONDS", 0.01)
    task = asyncio.create_task(
        background.fan_out_events(engine, lambda: woken_after.append(done[-1]))
    )
    await asyncio.wait_for(enough.wait(), WAIT_SECONDS_MAX)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert woken_after == [Progress(deliveries=1)]


async def test_new_deliveries_wake_the_sender(
    sql: Sql, new_endpoint: NewEndpoint, sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender has looked once and would not look again within this test."""
    monkeypatch.setattr(sender, "POLL_SECONDS", 2 * WAIT_SECONDS_MAX)
    await new_endpoint()
    (job,) = await add_simple(sql, 1)
    async with sending():
        await asyncio.sleep(0.5)
        await die(sql, job)
        await until_statuses(sql, delivered=1)
