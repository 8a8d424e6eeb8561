"""From the event log to deliveries: each endpoint's events, none skipped, none rolled back."""

import asyncio
import json

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import transaction
from payments_core.webhooks.endpoints import change_endpoint
from recon_worker.webhooks.fan_out import Progress, fan_out
from testkit.database.backlog import add_payments, add_simple
from testkit.database.ledgers.settled import FAST, until_all_settled
from testkit.database.sql import Sql
from testkit.network.receiver import (
    Receiver,
)
from testkit.waiting import until
from testkit.worker.own_system import running_worker

from .conftest import OPERATOR, NewEndpoint, Sending, log_of, settle, until_statuses

pytestmark = pytest.mark.usefixtures("quick_retries")


async def test_an_endpoint_receives_its_types_and_its_tenants_events_alone(
    sql: Sql,
    worker_url_of_database: str,
    engine: AsyncEngine,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    await new_endpoint("/all")
    await new_endpoint("/failed", ("payment.failed", "reversal.failed"))
    await new_endpoint("/blue", tenant="blue")
    await new_endpoint("/blue-failed", ("payment.failed",), tenant="blue")
    await new_endpoint("/green", tenant="green")
    await add_payments(
        sql, [("blue~a", "1", "USD"), ("blue~a", "-1", "USD"), ("bluest~a", "1", "USD")]
    )
    async with running_worker(worker_url_of_database, **FAST):
        await until_all_settled(sql)
    async with sending():
        await until_statuses(sql, delivered=3 + 1 + 2 + 1)
    paths = [one.path for one in receiver.received]
    assert {path: paths.count(path) for path in set(paths)} == {
        "/all": 3,
        "/failed": 1,
        "/blue": 2,
        "/blue-failed": 1,
    }
    shown = [json.loads(one.body) for one in receiver.at("/blue")]
    own = {event["id"]: event["data"] for event in await log_of(engine, "blue")}
    assert {one["id"]: one["data"] for one in shown} == own
    assert {one["data"]["accountId"] for one in shown} == {"a"}


async def until_fanned_out(sql: Sql) -> None:
    """Return when every event so far has been turned into deliveries."""
    last = await sql.fetchval("SELECT max(id) FROM reconciliation_results")

    async def reached() -> bool:
        return bool(await sql.fetchval("SELECT position >= $1 FROM webhook_cursor", last))

    await until(reached)


async def test_only_events_since_an_endpoint_was_enabled_are_sent(
    sql: Sql,
    engine: AsyncEngine,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    await settle(sql, worker_url_of_database, 2)
    async with sending():
        await until_fanned_out(sql)
    endpoint = await new_endpoint()
    await settle(sql, worker_url_of_database, 3)
    async with sending():
        await until_statuses(sql, delivered=3)
        async with transaction(engine) as tx:
            await change_endpoint(tx, endpoint.id, None, OPERATOR, enabled=False)
        await settle(sql, worker_url_of_database, 4)
        await until_fanned_out(sql)
        async with transaction(engine) as tx:
            await change_endpoint(tx, endpoint.id, None, OPERATOR, enabled=True)
        await settle(sql, worker_url_of_database, 5)
        await until_statuses(sql, delivered=8)
    assert len(receiver.received) == 8


async def test_an_event_that_began_before_its_endpoint_is_sent(
    sql: Sql, database_url: str, receiver: Receiver, new_endpoint: NewEndpoint, sending: Sending
) -> None:
    """Its transaction commits after the endpoint's, with a time that is earlier."""
    [payment] = await add_simple(sql, 1)
    await sql.execute(
        "UPDATE payments SET status = 'completed', settled_at = now(), updated_at = now()"
    )
    late = await asyncpg.connect(database_url)
    await late.execute("BEGIN")
    await late.execute(
        "INSERT INTO reconciliation_results (payment_id, recon_job_id, status, matched, notes,"
        " rule_version) VALUES ($1, 1, 'completed', true, 'n', 1)",
        payment.id,
    )
    await new_endpoint()
    await late.execute("COMMIT")
    await late.close()
    async with sending():
        await until_statuses(sql, delivered=1)
    assert [one.event_id for one in receiver.received] == [f"evt_{payment.id.hex}"]


async def test_without_endpoints_the_cursor_alone_advances(
    sql: Sql, engine: AsyncEngine, worker_url_of_database: str, sending: Sending
) -> None:
    await settle(sql, worker_url_of_database, 5)
    assert await fan_out(engine) == Progress()
    assert await sql.fetchval("SELECT position FROM webhook_cursor") == 5
    assert await sql.fetchval("SELECT count(*) FROM webhook_deliveries") == 0


async def test_an_event_that_commits_late_is_not_skipped(
    sql: Sql,
    engine: AsyncEngine,
    database_url: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    """Of two events, the one with the smaller id commits after the other."""
    await new_endpoint()
    stored = await add_simple(sql, 2)
    await sql.execute(
        "UPDATE payments SET status = 'completed', settled_at = now(), updated_at = now()"
    )
    insert = (
        "INSERT INTO reconciliation_results (payment_id, recon_job_id, status, matched, notes,"
        " rule_version) VALUES ($1, $2, 'completed', true, 'n', 1)"
    )
    late = await asyncpg.connect(database_url)
    transaction_ = late.transaction()
    await transaction_.start()
    await late.execute(insert, stored[0].id, 1)
    await sql.execute(insert, stored[1].id, 2)
    async with sending():
        await asyncio.sleep(1.5)
        assert receiver.received == []
        await transaction_.commit()
        await until_statuses(sql, delivered=2)
    await late.close()
    assert {one.event_id for one in receiver.received} == {f"evt_{p.id.hex}" for p in stored}


async def test_what_is_rolled_back_is_never_sent(
    sql: Sql,
    database_url: str,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    await new_endpoint()
    stored = await add_simple(sql, 1)
    async with sql.transaction():
        await sql.execute(
            "UPDATE payments SET status = 'completed', settled_at = now(), updated_at = now()"
        )
    other = await asyncpg.connect(database_url)
    doomed = other.transaction()
    await doomed.start()
    await other.execute(
        "INSERT INTO reconciliation_results (payment_id, recon_job_id, status, matched, notes,"
        " rule_version) VALUES ($1, 1, 'completed', true, 'n', 1)",
        stored[0].id,
    )
    async with sending():
        await asyncio.sleep(0.3)
        await doomed.rollback()
        await asyncio.sleep(0.5)
    await other.close()
    assert receiver.received == []
