"""Concurrent creations share statements; a bad row or a lost client fails alone."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol
from sqlalchemy import event

from payments_api.app import create_app
from payments_api.payments.store import Creation
from payments_api.settings import ApiSettings
from testkit.database.sql import Sql
from testkit.waiting import until

from .conftest import (
    ORDER,
    backends_of_api,
    blocked_key,
    count_stored,
    post_payment,
    services_of,
)


def watch_statements(app: Quart) -> list[str]:
    """Return a list that collects every statement the driver sends, BEGIN included."""
    sent: list[str] = []
    watched: set[object] = set()

    def watch(connection: Any, *_more: Any) -> None:
        if connection.driver_connection not in watched:
            watched.add(connection.driver_connection)
            connection.driver_connection.add_query_logger(lambda record: sent.append(record.query))

    event.listen(services_of(app).engine.sync_engine, "checkout", watch)
    return sent


async def test_creating_a_payment_and_its_job_takes_one_round_trip(
    app: Quart, client: TestClientProtocol
) -> None:
    await post_payment(client, "warm")  # Connects and prepares the statement.
    sent = watch_statements(app)
    await post_payment(client)
    await asyncio.sleep(0.1)  # The notification is sent later, outside the payment's transaction.
    creating = [statement for statement in sent if "pg_notify" not in statement]
    assert len(creating) == 1
    assert "INSERT INTO payments" in creating[0]
    assert "INSERT INTO recon_jobs" in creating[0]


async def test_concurrent_requests_share_statements(app: Quart, client: TestClientProtocol) -> None:
    await post_payment(client, "warm")
    sent = watch_statements(app)
    answers = await asyncio.gather(*(post_payment(client, f"k{n}") for n in range(100)))
    assert {answer.status_code for answer in answers} == {201}
    assert len([statement for statement in sent if "INSERT INTO payments" in statement]) <= 10


async def test_one_invalid_row_in_a_shared_statement_fails_alone(app: Quart, sql: Sql) -> None:
    orders = [replace(ORDER, idempotency_key=f"k{n}") for n in range(20)]
    orders[7] = replace(
        orders[7], account_id="sys:clearing:00"
    )  # Simulates invalid input that parsing lets through.
    orders[13] = replace(orders[13], description="d" * 501)
    answers = await services_of(app).writer.create_each(orders, None)
    failed = [n for n, answer in enumerate(answers) if not isinstance(answer, Creation)]
    assert failed == [7, 13]
    assert await count_stored(sql) == (18, 18)


@pytest.mark.parametrize(("bad", "stored", "statements_max"), [(1, 999, 22), (1000, 0, 101)])
async def test_bad_rows_are_isolated_in_few_statements(
    app: Quart, sql: Sql, bad: int, stored: int, statements_max: int
) -> None:
    payments = [replace(ORDER, idempotency_key=f"k{n}") for n in range(1000)]
    for n in range(bad):
        payments[n] = replace(payments[n], description="d" * 501)
    sent = watch_statements(app)
    answers = await services_of(app).writer.create_each(payments, None)
    inserts = [statement for statement in sent if "INSERT INTO payments" in statement]
    assert len(inserts) <= statements_max
    assert sum(isinstance(answer, Creation) for answer in answers) == stored
    assert all(isinstance(answer, Exception) for answer in answers[:bad])
    assert await count_stored(sql) == (stored, stored)


async def test_a_bad_row_whose_client_left_does_not_fail_its_neighbour(
    app: Quart, sql: Sql, database_url: str
) -> None:
    writer = services_of(app).writer
    good = replace(ORDER, idempotency_key="blocked")
    bad = replace(ORDER, idempotency_key="inserted later", description="d" * 501)
    async with blocked_key(database_url, good.idempotency_key):
        staying, leaving = (asyncio.create_task(writer.create(p, None)) for p in (good, bad))
        await until(lambda: backends_of_api(sql, " AND wait_event_type = 'Lock'"))
        leaving.cancel()
        await asyncio.sleep(0)
    assert not (await asyncio.wait_for(staying, 10)).replayed
    assert await count_stored(sql) == (1, 1)


async def test_a_cancelled_request_does_not_affect_its_neighbours(
    client: TestClientProtocol, sql: Sql, database_url: str
) -> None:
    async with blocked_key(database_url, "blocked"):
        leaving = asyncio.create_task(post_payment(client, "blocked"))
        staying = asyncio.create_task(post_payment(client, "staying"))
        await until(lambda: backends_of_api(sql, " AND wait_event_type = 'Lock'"))
        leaving.cancel()
        await asyncio.sleep(0.05)
    assert (await staying).status_code == 201
    # Its payment may be created nevertheless; a retry with the key tells.
    assert (await post_payment(client, "blocked")).status_code == 201
    assert await count_stored(sql) == (2, 2)


async def test_requests_beyond_the_queue_are_rejected_and_accepted_later(
    api_url_of_database: str, sql: Sql, database_url: str
) -> None:
    settings = ApiSettings.model_validate(
        {"auth": "off", "DATABASE_URL": api_url_of_database, "create_queue_max": 3}
    )
    async with create_app(settings).test_app() as app:
        client = app.test_client()
        async with blocked_key(database_url, "blocked"):
            first = asyncio.create_task(post_payment(client, "blocked"))
            await until(lambda: backends_of_api(sql, " AND wait_event_type = 'Lock'"))
            waiting = [asyncio.create_task(post_payment(client, f"k{n}")) for n in range(3)]
            await asyncio.sleep(0.1)
            refused = await asyncio.wait_for(post_payment(client, "late"), 1)
            assert refused.status_code == 503
            assert (await refused.get_json())["code"] == "overloaded"
            assert refused.headers["Retry-After"] == "1"
        answers = [*await asyncio.gather(first, *waiting), await post_payment(client, "late")]
    assert [answer.status_code for answer in answers] == [201] * 5
    assert await count_stored(sql) == (5, 5)
