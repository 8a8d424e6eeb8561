"""From the event log to a receiver: on real Postgres, over real HTTP."""

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement, transaction
from payments_core.db.event_log import event_json, read_events
from payments_core.webhooks import deliveries
from payments_core.webhooks.endpoints import change_endpoint, delete_endpoint, rotate_secret
from recon_worker.webhooks import claims, health, sender
from recon_worker.webhooks import client as http
from recon_worker.webhooks.fan_out import fan_out
from testkit.database.backlog import Sql, add_payments, add_simple
from testkit.database.reversals import add_reversal
from testkit.database.settled_ledger import FAST, settle_four, until_all_settled
from testkit.network.receiver import (
    Received,
    Receiver,
    always,
    answer,
    assert_signed,
    hang,
)
from testkit.waiting import until
from testkit.worker.own_system import running_worker

from .conftest import OPERATOR, NewEndpoint, Sending


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "delay_seconds", lambda attempts: 0.05)
    monkeypatch.setattr(sender, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(health, "PAUSE_FRACTION", 0.0)


async def until_statuses(sql: Sql, **wanted: int) -> None:
    """Return when the deliveries have these statuses."""

    async def reached() -> bool:
        rows = await sql.fetch("SELECT status, count(*) FROM webhook_deliveries GROUP BY 1")
        return {row["status"]: row["count"] for row in rows} == wanted

    await until(reached)


async def settle(sql: Sql, url: str, count: int) -> None:
    await add_simple(sql, count)
    async with running_worker(url, **FAST):
        await until_all_settled(sql)


async def log_of(engine: AsyncEngine, tenant: str | None = None) -> list[dict[str, Any]]:
    async with single_statement(engine) as connection:
        page = await read_events(connection, 0, 2**62, 1000, tenant=tenant)
    return [event_json(row, tenant) for row in page.rows]


async def test_each_event_arrives_signed_in_the_shape_of_standard_webhooks(
    sql: Sql,
    engine: AsyncEngine,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    endpoint = await new_endpoint()
    await settle_four(sql, worker_url_of_database)
    async with sending():
        await until_statuses(sql, delivered=4)
    events = {event["id"]: event for event in await log_of(engine)}
    assert {one.event_id for one in receiver.received} == events.keys()
    assert len(receiver.received) == 4
    for request in receiver.received:
        assert_signed(request, endpoint.secret)
        assert request.headers["content-type"] == "application/json"
        event = events[request.event_id]
        body = json.loads(request.body)
        assert body == {
            "type": event["type"],
            "timestamp": event["createdAt"],
            "data": event["data"],
            "id": event["id"],
        }
    assert await sql.fetchval("SELECT position FROM webhook_cursor") == 4


async def test_attempts_repeat_the_body_byte_for_byte_under_one_id(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    endpoint = await new_endpoint()
    await settle(sql, worker_url_of_database, 1)

    async def fail_twice(request: Received, writer: asyncio.StreamWriter) -> None:
        status = 500 if len(receiver.received) < 3 else 204
        writer.write(answer(status, b"nope" if status == 500 else b""))

    receiver.behave = fail_twice
    async with sending():
        await until_statuses(sql, delivered=1)
    assert len(receiver.received) == 3
    assert len({(one.event_id, one.body) for one in receiver.received}) == 1
    for request in receiver.received:
        assert_signed(request, endpoint.secret)
    rows = await sql.fetch("SELECT number, status_code, answer FROM webhook_attempts ORDER BY 1")
    assert [tuple(row) for row in rows] == [(1, 500, "nope"), (2, 500, "nope"), (3, 204, "")]


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
    assert await fan_out(engine) is False
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


async def test_a_payments_events_arrive_in_their_order(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    """The first attempts of each payment's first event fail; its reversals wait for it."""
    await new_endpoint()
    stored = await add_simple(sql, 10)
    async with running_worker(worker_url_of_database, **FAST):
        await until_all_settled(sql)
        for _ in range(3):
            for payment in stored:
                await add_reversal(sql, payment, "0.10")
        await until_all_settled(sql)
    failed: set[str] = set()

    async def fail_once(request: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        fails = request.event_id not in failed
        failed.add(request.event_id)
        writer.write(answer(503 if fails else 200))

    receiver.behave = fail_once
    async with sending():
        await until_statuses(sql, delivered=40)
    expected = await sql.fetch(
        "SELECT payment_id, event_id FROM webhook_deliveries ORDER BY position"
    )
    for payment in stored:
        wanted = [row["event_id"] for row in expected if row["payment_id"] == payment.id]
        arrived = [one.event_id for one in receiver.received if one.event_id in wanted]
        assert arrived == [event_id for event_id in wanted for _ in range(2)]
        bodies = [json.loads(one.body) for one in receiver.received if one.event_id in wanted]
        numbers = [body["data"]["accountSeq"] for body in bodies]
        assert numbers == sorted(numbers)
        assert len(set(numbers)) == len(wanted)


async def test_a_delivery_that_failed_for_good_holds_its_payment_no_longer(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    await new_endpoint()
    [payment] = await add_simple(sql, 1)
    async with running_worker(worker_url_of_database, **FAST):
        await until_all_settled(sql)
        await add_reversal(sql, payment, "0.10")
        await until_all_settled(sql)

    async def poison(request: Received, writer: asyncio.StreamWriter) -> None:
        first = json.loads(request.body)["type"] == "payment.completed"
        writer.write(answer(500 if first else 200))

    receiver.behave = poison
    async with sending():

        async def tried_again() -> bool:
            return len(receiver.received) >= 3

        await until(tried_again)
        assert {json.loads(one.body)["type"] for one in receiver.received} == {"payment.completed"}
        await sql.execute("UPDATE webhook_deliveries SET give_up_at = now()")
        await until_statuses(sql, failed=1, delivered=1)


async def test_a_slow_endpoint_delays_no_other(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    """The slow one may not take the places of the other, nor its turn."""
    await new_endpoint("/slow")
    await new_endpoint("/quick")
    receiver.by_path["/slow"] = hang
    await settle(sql, worker_url_of_database, 200)
    async with sending(concurrency=40, drain_seconds=0.1):

        async def quick_done() -> bool:
            return len(receiver.at("/quick")) == 200

        await until(quick_done, 5)
    assert len(receiver.at("/slow")) <= claims.IN_FLIGHT_OF_ONE_MAX


async def test_slow_endpoints_that_fill_every_place_leave_a_quick_one_its_turn(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    """They accept everything, late, so they are never paused."""
    slow, events, places = 12, 10, 16

    async def answer_late(request: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1)
        writer.write(answer(200))

    for number in range(slow):
        await new_endpoint(f"/slow/{number}")
        receiver.by_path[f"/slow/{number}"] = answer_late
    await new_endpoint("/quick")
    await settle(sql, worker_url_of_database, events)
    async with sending(concurrency=places, drain_seconds=0.1):

        async def quick_done() -> bool:
            return len(receiver.at("/quick")) == events

        await until(quick_done)
    sent_slowly = len(receiver.received) - events
    assert sent_slowly <= slow * events / 2


async def test_two_workers_never_send_one_attempt_twice(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    await new_endpoint("/a")
    await new_endpoint("/b")
    await settle(sql, worker_url_of_database, 300)
    async with sending(), sending(), sending():
        await until_statuses(sql, delivered=600)
    for path in ("/a", "/b"):
        sent = [one.event_id for one in receiver.at(path)]
        assert len(sent) == len(set(sent)) == 300


async def test_a_lease_that_expired_lets_another_worker_send(
    sql: Sql,
    engine: AsyncEngine,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    """The late record of the first is rolled back: one delivery, and its own attempts."""
    await new_endpoint()
    await settle(sql, worker_url_of_database, 1)
    await fan_out(engine)
    async with single_statement(engine) as connection:
        [lost] = await claims.claim(connection, {}, 10)
        assert await claims.claim(connection, {}, 10) == []
    await sql.execute("UPDATE webhook_deliveries SET next_attempt_at = now()")
    async with sending():
        await until_statuses(sql, delivered=1)
    late = claims.Attempt(lost, await sql.fetchval("SELECT now()"), 0.1, 500, "", None, "retry")
    async with transaction(engine) as tx:
        assert await claims.record(tx, [late]) == {}
    rows = await sql.fetch("SELECT number, status_code FROM webhook_attempts")
    assert [tuple(row) for row in rows] == [(2, 200)]
    assert await sql.fetchval("SELECT status FROM webhook_deliveries") == "delivered"


async def test_410_disables_at_once_with_an_event_and_a_record(
    sql: Sql,
    engine: AsyncEngine,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    gone = await new_endpoint("/gone")
    await new_endpoint("/other")
    receiver.by_path["/gone"] = always(answer(410))
    await settle(sql, worker_url_of_database, 1)
    async with sending():
        await until_statuses(sql, failed=1, delivered=2)
        await settle(sql, worker_url_of_database, 1)
        await until_statuses(sql, failed=1, delivered=3)
    assert len(receiver.at("/gone")) == 1
    row = await sql.fetchrow("SELECT * FROM webhook_endpoints WHERE id = $1", gone.id)
    assert row is not None
    assert (row["enabled_at"], row["disabled_reason"]) == (None, "gone")
    events = [json.loads(one.body) for one in receiver.at("/other")]
    [told] = [one["data"] for one in events if one["type"] == "webhook.disabled"]
    assert (told["endpointId"], told["reason"]) == (str(gone.id), "gone")
    recorded = await sql.fetch(
        "SELECT actor, reason, subject FROM operator_actions WHERE action = 'disable_webhook'"
    )
    assert [tuple(one) for one in recorded] == [("recon-worker", "gone", f"webhook {gone.id}")]


async def test_five_days_without_a_success_disable_an_endpoint(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    endpoint = await new_endpoint()
    receiver.behave = always(answer(500))
    await settle(sql, worker_url_of_database, 1)

    async def failing() -> bool:
        return bool(await sql.fetchval("SELECT failing_since FROM webhook_endpoints"))

    async def disabled() -> bool:
        reason = await sql.fetchval("SELECT disabled_reason FROM webhook_endpoints")
        return bool(reason == "failing")

    async with sending():
        await until(failing)
        await sql.execute(
            "UPDATE webhook_endpoints SET failing_since = now() - interval '4 days 23 hours'"
        )
        seen = len(receiver.received)

        async def again() -> bool:
            return len(receiver.received) > seen + 1

        await until(again)
        assert not await disabled()
        await sql.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '5 days'")
        await until(disabled)
        seen = len(receiver.received)
        await asyncio.sleep(0.3)
        assert len(receiver.received) == seen
    assert await sql.fetchval("SELECT reason FROM webhook_disablings") == "failing"
    assert endpoint.id == await sql.fetchval("SELECT endpoint_id FROM webhook_disablings")


async def test_a_success_ends_the_time_of_failing(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    await new_endpoint()
    await settle(sql, worker_url_of_database, 2)
    await sql.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '4 days'")
    async with sending():
        await until_statuses(sql, delivered=2)
    assert await sql.fetchval("SELECT failing_since FROM webhook_endpoints") is None


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_pauses_the_endpoint(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
    status: int,
) -> None:
    await new_endpoint()
    await settle(sql, worker_url_of_database, 1)
    receiver.behave = always(answer(status, b"", "retry-after: 2"))
    async with sending():

        async def asked() -> bool:
            return await sql.fetchval("SELECT paused_until FROM webhook_endpoints") is not None

        await until(asked)
        receiver.behave = always(answer(200))
        await settle(sql, worker_url_of_database, 1)  # Another event waits too.
        await until_statuses(sql, delivered=2)
    first, *later = receiver.received
    assert all(one.at - first.at > 1.9 for one in later)


async def test_a_receiver_that_hangs_is_tried_again(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "ATTEMPT_SECONDS_MAX", 0.3)
    await new_endpoint()
    await settle(sql, worker_url_of_database, 1)
    receiver.behave = hang
    async with sending():

        async def failed() -> bool:
            return bool(await sql.fetchval("SELECT count(*) FROM webhook_attempts"))

        await until(failed)
        receiver.behave = always(answer(200))
        await until_statuses(sql, delivered=1)
    error = await sql.fetchval("SELECT error FROM webhook_attempts WHERE number = 1")
    assert error == "No answer within 0 s."


async def test_three_days_of_failures_end_in_a_failed_delivery_that_can_be_resent(
    sql: Sql,
    engine: AsyncEngine,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    endpoint = await new_endpoint()
    await settle(sql, worker_url_of_database, 2)
    receiver.behave = always(answer(500))
    async with sending():
        await until_statuses(sql, pending=2)
        await sql.execute("UPDATE webhook_deliveries SET give_up_at = now()")
        await until_statuses(sql, failed=2)
        receiver.behave = always(answer(200))
        since = await sql.fetchval("SELECT now() - interval '1 hour'")
        async with transaction(engine) as tx:
            assert await deliveries.resend_failed(tx, endpoint.id, None, since, OPERATOR) == 2
        await until_statuses(sql, delivered=2)
        delivery: UUID = await sql.fetchval("SELECT id FROM webhook_deliveries LIMIT 1")
        seen = len(receiver.received)
        async with transaction(engine) as tx:
            await deliveries.resend(tx, delivery, None, OPERATOR)

        async def again() -> bool:
            return len(receiver.received) == seen + 1

        await until(again)
        await until_statuses(sql, delivered=2)
    assert len({(one.event_id, one.body) for one in receiver.received}) == 2


async def test_both_secrets_sign_after_a_rotation_and_the_former_until_its_end(
    sql: Sql,
    engine: AsyncEngine,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    endpoint = await new_endpoint()
    async with transaction(engine) as tx:
        _, second = await rotate_secret(tx, endpoint.id, None, OPERATOR, timedelta(hours=1))
        await deliveries.send_test(tx, endpoint.id, None, OPERATOR)
    async with sending():
        await until_statuses(sql, delivered=1)
        assert_signed(receiver.received[0], endpoint.secret, second)
        assert len(receiver.received[0].headers["webhook-signature"].split(" ")) == 2
        await sql.execute("UPDATE webhook_secrets SET expires_at = now() WHERE expires_at > now()")
        async with transaction(engine) as tx:
            await deliveries.send_test(tx, endpoint.id, None, OPERATOR)
        await until_statuses(sql, delivered=2)
    assert_signed(receiver.received[1], second)
    assert len(receiver.received[1].headers["webhook-signature"].split(" ")) == 1
    assert json.loads(receiver.received[1].body)["type"] == "webhook.test"


async def test_nothing_more_is_sent_to_a_deleted_endpoint(
    sql: Sql,
    engine: AsyncEngine,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    endpoint = await new_endpoint()
    await settle(sql, worker_url_of_database, 3)
    await fan_out(engine)
    async with transaction(engine) as tx:
        await delete_endpoint(tx, endpoint.id, None, OPERATOR)
    async with sending():
        await asyncio.sleep(0.5)
    assert receiver.received == []


async def test_an_attempt_that_begins_too_late_is_left_to_its_lease(
    sql: Sql,
    worker_url_of_database: str,
    monkeypatch: pytest.MonkeyPatch,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    monkeypatch.setattr(sender, "START_SECONDS_MAX", -1.0)
    await new_endpoint()
    await settle(sql, worker_url_of_database, 1)

    async def is_claimed() -> bool:
        return bool(await sql.fetchval("SELECT attempts = 1 FROM webhook_deliveries"))

    async with sending():
        await until(is_claimed)
    assert receiver.received == []
    due = "SELECT next_attempt_at > now() FROM webhook_deliveries WHERE status = 'pending'"
    assert await sql.fetchval(due)


async def test_a_stop_hands_back_what_is_not_sent_without_using_up_an_attempt(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    await new_endpoint()
    await settle(sql, worker_url_of_database, 5)
    receiver.behave = hang
    async with sending(drain_seconds=0.1):

        async def all_hang() -> bool:
            return len(receiver.received) == 5

        await until(all_hang)
    rows = await sql.fetch(
        "SELECT attempts, lease_token, next_attempt_at <= now() FROM webhook_deliveries"
    )
    assert [tuple(row) for row in rows] == [(0, None, True)] * 5


async def test_a_stop_records_the_attempts_that_end_meanwhile(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
) -> None:
    await new_endpoint()
    await settle(sql, worker_url_of_database, 5)

    async def slow(request: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        writer.write(answer(200))

    receiver.behave = slow
    async with sending():

        async def all_sent() -> bool:
            return len(receiver.received) == 5

        await until(all_sent)
    await until_statuses(sql, delivered=5)
    assert len(receiver.received) == 5
