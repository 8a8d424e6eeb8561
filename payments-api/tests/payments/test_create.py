"""One key creates one payment, despite repeats, races, disconnects and lost connections."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from quart.typing import TestClientProtocol

from payments_api.app import create_app
from payments_api.http.errors import DatabaseUnavailable, IdempotencyKeyReused, Overloaded
from payments_api.payments.writer import PaymentWriter
from payments_api.settings import ApiSettings
from payments_core.db.engine import create_engine
from payments_core.queue.notify import Notifier
from testkit.database.sql import Sql
from testkit.waiting import until

from .conftest import (
    BODY,
    ORDER,
    backends_of_api,
    blocked_key,
    count_stored,
    post_payment,
)


async def test_a_hundred_requests_with_one_key_make_one_payment(
    client: TestClientProtocol, sql: Sql
) -> None:
    answers = await asyncio.gather(*(post_payment(client) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({await answer.get_data() for answer in answers}) == 1
    assert len({answer.headers["Location"] for answer in answers}) == 1
    replayed = [answer.headers.get("Idempotency-Replayed") for answer in answers]
    assert sorted(replayed, key=str) == [None, *["true"] * 99]
    assert await count_stored(sql) == (1, 1)


async def test_a_hundred_requests_to_two_instances_make_one_payment(
    client: TestClientProtocol, api_url_of_database: str, sql: Sql
) -> None:
    settings = ApiSettings.model_validate({"auth": "off", "DATABASE_URL": api_url_of_database})
    async with create_app(settings).test_app() as second:
        clients = [client, second.test_client()]
        for round_ in range(5):
            answers = await asyncio.gather(
                *(post_payment(clients[n % 2], f"k{round_}") for n in range(100))
            )
            assert {answer.status_code for answer in answers} == {201}
            assert len({await answer.get_data() for answer in answers}) == 1
            first = [a for a in answers if "Idempotency-Replayed" not in a.headers]
            assert len(first) == 1
    assert await count_stored(sql) == (5, 5)


async def test_of_two_bodies_with_one_key_one_is_rejected(
    client: TestClientProtocol, sql: Sql
) -> None:
    answers = await asyncio.gather(*(post_payment(client, amount=n % 2 + 1) for n in range(40)))
    statuses = [answer.status_code for answer in answers]
    assert sorted(set(statuses)) == [201, 422]
    assert statuses.count(201) == 20
    refused = next(answer for answer in answers if answer.status_code == 422)
    assert (await refused.get_json())["code"] == "idempotency_key_reused"
    assert await count_stored(sql) == (1, 1)


async def test_a_repeat_waits_for_the_first_request_in_flight(
    client: TestClientProtocol, sql: Sql, database_url: str
) -> None:
    async with blocked_key(database_url, "k") as other:
        answering = asyncio.create_task(post_payment(client))
        await until(lambda: sql.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
        assert not answering.done()
        await other.execute("COMMIT")
        answer = await answering
    assert answer.status_code == 201
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert (await count_stored(sql))[0] == 1


async def test_a_repeat_creates_the_payment_if_the_first_rolled_back(
    client: TestClientProtocol, sql: Sql, database_url: str
) -> None:
    async with blocked_key(database_url, "k") as other:
        answering = asyncio.create_task(post_payment(client))
        await until(lambda: sql.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
        await other.execute("ROLLBACK")
        answer = await answering
    assert answer.status_code == 201
    assert "Idempotency-Replayed" not in answer.headers
    assert await count_stored(sql) == (1, 1)


async def test_keys_are_inserted_in_one_order(
    client: TestClientProtocol, sql: Sql, database_url: str
) -> None:
    """Statements that share keys would deadlock. A retry hides that, so check the locks."""
    keys = ["k9", "k5", "k1"]
    items = [BODY | {"idempotencyKey": key} for key in keys]
    async with blocked_key(database_url, "k5") as other:
        answering = asyncio.create_task(client.post("/payments/batch", json={"payments": items}))
        await until(lambda: sql.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
        # The statement has inserted k1, waits for k5, and has not reached k9.
        async with asyncio.timeout(3), blocked_key(database_url, "k9"):
            pass
        await other.execute("ROLLBACK")
        await answering
    assert await count_stored(sql) == (3, 3)


async def test_a_replay_of_a_settled_payment_is_the_first_answer_byte_for_byte(
    client: TestClientProtocol, sql: Sql, start_worker: Callable[..., Any]
) -> None:
    first = await post_payment(client, description="é ☂ 👩‍👩‍👧")
    await start_worker()
    await until(
        lambda: sql.fetchval("SELECT EXISTS (SELECT FROM payments WHERE status = 'completed')")
    )
    again = await post_payment(client, description="é ☂ 👩‍👩‍👧")
    assert await again.get_data() == await first.get_data()
    assert (await again.get_json())["status"] == "pending"
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]


@pytest.mark.parametrize(
    ("first", "again"), [("k", '"k"'), ('"k"', "k"), (r'"a\"b"', 'a"b'), (" k", "k ")]
)
async def test_bare_and_quoted_keys_are_equal(
    client: TestClientProtocol, sql: Sql, first: str, again: str
) -> None:
    await post_payment(client, first)
    answer = await post_payment(client, again)
    assert (answer.status_code, answer.headers["Idempotency-Replayed"]) == (201, "true")
    assert await count_stored(sql) == (1, 1)


async def test_keys_are_case_sensitive(client: TestClientProtocol, sql: Sql) -> None:
    await post_payment(client, "key")
    await post_payment(client, "KEY")
    assert await count_stored(sql) == (2, 2)


async def test_a_key_never_expires_and_spans_restarts(api_url_of_database: str, sql: Sql) -> None:
    settings = ApiSettings.model_validate({"auth": "off", "DATABASE_URL": api_url_of_database})
    bodies = []
    for _ in range(2):
        async with create_app(settings).test_app() as app:
            bodies.append(await (await post_payment(app.test_client())).get_data())
    assert bodies[0] == bodies[1]


async def test_the_callers_trace_is_stored_with_the_payment(
    client: TestClientProtocol, sql: Sql
) -> None:
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for key, sent in (("k1", traceparent), ("k2", "nonsense"), ("k3", "00-" + "0" * 32)):
        await client.post(
            "/payments", json=BODY, headers={"Idempotency-Key": key, "traceparent": sent}
        )
    rows = await sql.fetch(
        "SELECT idempotency_key, p.traceparent, j.traceparent FROM payments p"
        " JOIN recon_jobs j ON j.payment_id = p.id ORDER BY 1"
    )
    for row in rows:
        assert row[1] == row[2]
    if rows[0][1] != traceparent:
        assert rows[0][1].split("-")[1] == traceparent.split("-")[1]


async def test_a_running_request_is_answered_before_the_server_stops(
    serve_api: Any, database_url: str, sql: Sql
) -> None:
    served = await serve_api(drain_seconds=5.0)
    async with httpx.AsyncClient(base_url=served.url) as http:
        async with blocked_key(database_url, "k"):
            answering = asyncio.create_task(
                http.post("/payments", json=BODY, headers={"Idempotency-Key": "k"})
            )
            await until(lambda: backends_of_api(sql, " AND wait_event_type = 'Lock'"))
            served.lifecycle.stopping.set()
            await asyncio.sleep(0.2)
            with pytest.raises(httpx.ConnectError):
                async with httpx.AsyncClient(base_url=served.url) as late:
                    await late.get("/health")
            assert not answering.done()
        answer = await answering
    assert answer.status_code == 201
    await asyncio.wait_for(served.ended, 10)
    assert await count_stored(sql) == (1, 1)


async def test_a_writer_without_its_app_gives_the_same_answers(
    api_url_of_database: str, sql: Sql
) -> None:
    engine = create_engine(api_url_of_database, application_name="test", pool_size=4)
    writer = PaymentWriter(engine, Notifier(engine), queue_max=10)
    running = asyncio.create_task(writer.run())
    first = await writer.create(ORDER, None)
    again = await writer.create(ORDER, None)
    assert (first.replayed, again.replayed) == (False, True)
    assert first.payment.json_text("acc_1") == again.payment.json_text("acc_1")
    with pytest.raises(IdempotencyKeyReused):
        await writer.create(replace(ORDER, description="other"), None)
    with pytest.raises(Overloaded):
        await writer.create_each([ORDER] * 11, None)
    running.cancel()
    await asyncio.wait({running})
    await engine.dispose()


def test_temporary_rejections_have_a_retry_time() -> None:
    assert Overloaded().headers["Retry-After"] == "1"
    assert DatabaseUnavailable().headers["Retry-After"] == "2"
