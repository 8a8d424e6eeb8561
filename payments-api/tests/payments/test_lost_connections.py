"""Creation while connections to Postgres break: nothing is lost, nothing happens twice."""

import asyncio
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol

from payments_api.app import create_app
from payments_api.settings import ApiSettings
from testkit.database.sql import Sql
from testkit.network.tcp_proxy import TcpProxy
from testkit.waiting import until

from .conftest import (
    ORDER,
    backends_of_api,
    blocked_key,
    count_stored,
    post_payment,
    services_of,
)


async def test_dead_idle_connections_cause_no_error(client: TestClientProtocol, sql: Sql) -> None:
    await asyncio.gather(*(post_payment(client, f"warm{n}") for n in range(5)))
    for n in range(3):
        for pid in await backends_of_api(sql):
            await sql.execute("SELECT pg_terminate_backend($1, 1000)", pid)
        assert (await post_payment(client, f"k{n}")).status_code == 201


async def test_a_cut_connection_loses_and_duplicates_nothing(
    client: TestClientProtocol, sql: Sql, database_url: str
) -> None:
    async with blocked_key(database_url, "blocked"):
        answering = [asyncio.create_task(post_payment(client, key)) for key in ("blocked", "other")]
        await until(lambda: backends_of_api(sql, " AND wait_event_type = 'Lock'"))
        for pid in await backends_of_api(sql):
            await sql.execute("SELECT pg_terminate_backend($1, 1000)", pid)
    answers = await asyncio.gather(*answering)
    for key, answer in zip(("blocked", "other"), answers, strict=True):
        if answer.status_code != 201:
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert (await post_payment(client, key)).status_code == 201
    assert await count_stored(sql) == (2, 2)


async def test_payments_survive_repeatedly_cut_connections(
    client: TestClientProtocol, sql: Sql
) -> None:
    async def cut() -> None:
        for _ in range(40):  # Bounded, so that the test also ends on a slow machine.
            await sql.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'payments-api' AND random() < 0.5"
            )
            await asyncio.sleep(0.02)

    async def pay(key: str) -> str:
        while True:
            answer = await post_payment(client, key)
            if answer.status_code == 201:
                return str((await answer.get_json())["id"])
            assert answer.status_code == 503
            await asyncio.sleep(0.01)

    cutting = asyncio.create_task(cut())
    ids = await asyncio.gather(*(pay(f"k{n}") for n in range(200)))
    await cutting
    assert len(set(ids)) == 200
    assert await count_stored(sql) == (200, 200)
    found = await sql.fetch("SELECT id::text FROM payments")
    assert {row[0] for row in found} == set(ids)


async def test_a_commit_with_a_lost_answer_is_recognised(
    app: Quart, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    from payments_api.payments import store

    genuine, calls = store.insert_batch, 0

    async def committed_but_unheard(connection: Any, batch: Any) -> Any:
        nonlocal calls
        calls += 1
        created = await genuine(connection, batch)
        if calls == 1:
            raise ConnectionResetError("the answer is lost")
        return created

    monkeypatch.setattr(store, "insert_batch", committed_but_unheard)
    creation = await services_of(app).writer.create(ORDER, None)
    assert calls == 2
    assert not creation.replayed  # This caller has not received an answer before.
    assert await sql.fetchval("SELECT id FROM payments") == creation.payment.id
    assert await count_stored(sql) == (1, 1)


async def test_an_unreachable_database_gives_503_and_needs_no_restart(
    database_proxy: TcpProxy, proxied_url: str, sql: Sql
) -> None:
    settings = ApiSettings.model_validate({"auth": "off", "DATABASE_URL": proxied_url})
    async with create_app(settings).test_app() as app:
        client = app.test_client()
        assert (await post_payment(client, "before")).status_code == 201
        database_proxy.cut()
        for address in ("/payments", "/accounts/acc_1/balance", "/readyz", "/jobs/stats"):
            answer = await asyncio.wait_for(client.get(address), 10)
            assert answer.status_code == 503, address
            assert answer.content_type == "application/problem+json"
        answer = await asyncio.wait_for(post_payment(client, "while"), 10)
        assert answer.status_code == 503
        assert (await answer.get_json())["code"] == "database_unavailable"
        assert int(answer.headers["Retry-After"]) > 0
        assert (await client.get("/livez")).status_code == 200
        database_proxy.mend()
        assert (await post_payment(client, "while")).status_code == 201
        assert (await post_payment(client, "before")).headers["Idempotency-Replayed"] == "true"
        assert (await client.get("/readyz")).status_code == 200
    assert await count_stored(sql) == (2, 2)


async def test_a_silent_network_gives_503_and_does_not_block_later_requests(
    database_proxy: TcpProxy, proxied_url: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payments_api.payments.store.STATEMENT_SECONDS_MAX", 0.3)
    settings = ApiSettings.model_validate({"auth": "off", "DATABASE_URL": proxied_url})
    async with create_app(settings).test_app() as app:
        client = app.test_client()
        assert (await post_payment(client, "before")).status_code == 201
        database_proxy.stall()
        answer = await asyncio.wait_for(post_payment(client, "while"), 5)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        database_proxy.mend()
        assert (await asyncio.wait_for(post_payment(client, "while"), 5)).status_code == 201
    assert await count_stored(sql) == (2, 2)
