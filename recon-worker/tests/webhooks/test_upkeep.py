"""What is kept long enough is deleted; the gauges say what waits, and through whose fault."""

from datetime import timedelta

from prometheus_client import REGISTRY
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import transaction
from payments_core.webhooks.endpoints import delete_endpoint
from payments_core.webhooks.resending import send_test
from recon_worker.webhooks import metrics
from recon_worker.webhooks.background import prune
from recon_worker.webhooks.fan_out import fan_out
from testkit.database.backlog import add_simple
from testkit.database.ledgers.settled import FAST, break_ledger, until_all_settled
from testkit.database.sql import Sql
from testkit.worker.own_system import running_worker

from .conftest import OPERATOR, NewEndpoint

# Ids follow the time of creation: the older has the smaller one.
AGED = """
INSERT INTO webhook_deliveries (id, endpoint_id, position, event_id, type, body, status, attempts,
                                created_at, finished_at)
SELECT ('00000000-0000-7000-8000-' || lpad((100 - days)::text, 12, '0'))::uuid, $1, 1000 - days,
       'evt_x', 'payment.completed', '{}', 'delivered', 1,
       now() - make_interval(days => days), now()
FROM generate_series(28, 35) AS days ORDER BY 1"""


def gauge(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"recon_webhook_{name}", labels)


async def test_deliveries_are_deleted_with_their_attempts_after_30_days(
    sql: Sql, engine: AsyncEngine, new_endpoint: NewEndpoint
) -> None:
    endpoint = await new_endpoint()
    await sql.execute(AGED, endpoint.id)
    await sql.execute(
        "INSERT INTO webhook_attempts (delivery_id, number, duration_seconds, status_code)"
        " SELECT id, 1, 0.1, 200 FROM webhook_deliveries"
    )
    await break_ledger(
        sql,
        "INSERT INTO webhook_disablings (endpoint_id, reason, created_at)"
        f" SELECT '{endpoint.id}', 'gone', now() - make_interval(days => days)"
        " FROM generate_series(29, 31) AS days",
    )
    assert await prune(engine) == 6
    assert await prune(engine) == 0
    kept = await sql.fetch("SELECT now() - created_at AS age FROM webhook_deliveries")
    assert len(kept) == 2
    assert all(row["age"] < timedelta(days=30) for row in kept)
    assert await sql.fetchval("SELECT count(*) FROM webhook_attempts") == 2
    assert await sql.fetchval("SELECT count(*) FROM webhook_disablings") == 1


async def test_a_deleted_endpoint_goes_30_days_later_after_its_deliveries(
    sql: Sql, engine: AsyncEngine, new_endpoint: NewEndpoint
) -> None:
    for _ in range(4):
        endpoint = await new_endpoint()
        async with transaction(engine) as tx:
            await delete_endpoint(tx, endpoint.id, None, OPERATOR)
    _old, recent, delivered, disabled = await sql.fetch(
        "SELECT id FROM webhook_endpoints ORDER BY id"
    )
    await sql.execute(
        "UPDATE webhook_endpoints SET deleted_at = now() - interval '31 days' WHERE id <> $1",
        recent["id"],
    )
    await sql.execute(
        "INSERT INTO webhook_deliveries (id, endpoint_id, position, event_id, type, body)"
        " VALUES ($1, $1, 1, 'evt_x', 'payment.completed', '{}')",
        delivered["id"],
    )
    await break_ledger(
        sql,
        f"INSERT INTO webhook_disablings (endpoint_id, reason) VALUES ('{disabled['id']}', 'gone')",
    )
    await prune(engine)
    kept = await sql.fetch("SELECT id FROM webhook_endpoints ORDER BY id")
    assert kept == [recent, delivered, disabled]


async def test_an_ended_secret_is_deleted(
    sql: Sql, engine: AsyncEngine, new_endpoint: NewEndpoint
) -> None:
    endpoint = await new_endpoint()
    await sql.execute(
        "INSERT INTO webhook_secrets (endpoint_id, secret, expires_at)"
        " VALUES ($1, sha256('x'), now() - interval '1 second')",
        endpoint.id,
    )
    await prune(engine)
    assert await sql.fetchval("SELECT count(*) FROM webhook_secrets") == 1


async def test_the_gauges_tell_our_delay_from_a_receivers(
    sql: Sql, engine: AsyncEngine, worker_url_of_database: str, new_endpoint: NewEndpoint
) -> None:
    endpoint = await new_endpoint()
    other = await new_endpoint()
    await metrics.observe(engine)
    assert gauge("endpoints", state="working") == 2
    assert gauge("overdue_seconds") == gauge("fan_out_lag_seconds") == 0
    async with transaction(engine) as tx:
        await send_test(tx, endpoint.id, None, OPERATOR)
    await sql.execute("UPDATE webhook_deliveries SET next_attempt_at = now() - interval '1 hour'")
    await metrics.observe(engine)
    assert 3600 <= (gauge("overdue_seconds") or 0) < 3700
    assert gauge("deliveries_pending") == 1
    await sql.execute(
        "UPDATE webhook_endpoints SET failing_since = now() WHERE id = $1", endpoint.id
    )
    await metrics.observe(engine)
    assert gauge("overdue_seconds") == 0
    assert gauge("endpoints", state="failing") == 1
    await sql.execute(
        "UPDATE webhook_endpoints SET enabled_at = NULL, disabled_reason = 'operator'"
        " WHERE id = $1",
        other.id,
    )
    await add_simple(sql, 1)
    async with running_worker(worker_url_of_database, **FAST):
        await until_all_settled(sql)
    await metrics.observe(engine)
    assert (gauge("fan_out_lag_seconds") or 0) > 0
    assert gauge("endpoints", state="disabled") == 1


async def test_a_disabling_that_is_not_fanned_out_is_part_of_the_lag(
    sql: Sql, engine: AsyncEngine, new_endpoint: NewEndpoint
) -> None:
    endpoint = await new_endpoint()
    await break_ledger(
        sql,
        f"INSERT INTO webhook_disablings (endpoint_id, reason) VALUES ('{endpoint.id}', 'gone')",
    )
    await metrics.observe(engine)
    assert (gauge("fan_out_lag_seconds") or 0) > 0
    await fan_out(engine)
    await metrics.observe(engine)
    assert gauge("fan_out_lag_seconds") == 0
