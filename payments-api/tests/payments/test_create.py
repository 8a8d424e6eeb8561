"""One key creates one payment, despite repeats, races, disconnects and lost connections."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import uuid4

import asyncpg
import httpx
import pytest
from quart import Quart
from quart.typing import TestClientProtocol
from sqlalchemy import event

from payments_api.app import create_app
from payments_api.http.errors import DatabaseUnavailable, IdempotencyKeyReused, Overloaded
from payments_api.payments.store import Creation
from payments_api.payments.writer import PaymentWriter
from payments_api.services import EXTENSION, Services
from payments_api.settings import ApiSettings
from payments_core.db.engine import create_engine
from payments_core.domain.payments import NewPayment
from payments_core.queue.notify import Notifier
from testkit.network.tcp_proxy import TcpProxy

ORDER = NewPayment("k", "acc_1", Decimal("1.00"), "USD", "")
BODY = {"accountId": "acc_1", "amount": "1.00"}

Sql: TypeAlias = "asyncpg.Connection[Any]"


def _here(app: Quart) -> Services:
    here: Services = app.extensions[EXTENSION]
    return here


async def _post(client: TestClientProtocol, key: str = "k", **fields: object) -> Any:
    return await client.post("/payments", json=BODY | fields, headers={"Idempotency-Key": key})


async def _stored(sql: Sql) -> tuple[int, int]:
    row = await sql.fetchrow(
        "SELECT (SELECT count(*) FROM payments), (SELECT count(*) FROM recon_jobs)"
    )
    return tuple(row or ())


@asynccontextmanager
async def _blocked_key(database_url: str, key: str) -> AsyncIterator[Sql]:
    """Hold an open transaction on another connection that has inserted the key."""
    other: Sql = await asyncpg.connect(database_url)
    try:
        await other.execute("BEGIN")
        await other.execute(
            "INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount,"
            " currency, description) VALUES ($1, $2, $3, 'acc_1', 1.00, 'USD', '')",
            uuid4(),
            key,
            replace(ORDER, idempotency_key=key).fingerprint(),
        )
        yield other
    finally:
        await other.close()


async def _until(done: Callable[[], Any]) -> None:
    for _ in range(500):
        if await done():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen within 5 s")


def _watch_statements(app: Quart) -> list[str]:
    """Return a list that collects every statement the driver sends, BEGIN included."""
    sent: list[str] = []
    watched: set[object] = set()

    def watch(connection: Any, *_more: Any) -> None:
        if connection.driver_connection not in watched:
            watched.add(connection.driver_connection)
            connection.driver_connection.add_query_logger(lambda record: sent.append(record.query))

    event.listen(_here(app).engine.sync_engine, "checkout", watch)
    return sent


async def _backends(sql: Sql, extra: str = "") -> list[int]:
    rows = await sql.fetch(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'payments-api'" + extra
    )
    return [row[0] for row in rows]


async def test_a_hundred_requests_with_one_key_make_one_payment(
    client: TestClientProtocol, sql: Sql
) -> None:
    answers = await asyncio.gather(*(_post(client) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({await answer.get_data() for answer in answers}) == 1
    assert len({answer.headers["Location"] for answer in answers}) == 1
    replayed = [answer.headers.get("Idempotency-Replayed") for answer in answers]
    assert sorted(replayed, key=str) == [None, *["true"] * 99]
    assert await _stored(sql) == (1, 1)


async def test_a_hundred_requests_to_two_instances_make_one_payment(
    client: TestClientProtocol, api_url_of_database: str, sql: Sql
) -> None:
    settings = ApiSettings.model_validate({"auth": "off", "DATABASE_URL": api_url_of_database})
    async with create_app(settings).test_app() as second:
        clients = [client, second.test_client()]
        for round_ in range(5):
            answers = await asyncio.gather(
                *(_post(clients[n % 2], f"k{round_}") for n in range(100))
            )
            assert {answer.status_code for answer in answers} == {201}
            assert len({await answer.get_data() for answer in answers}) == 1
            first = [a for a in answers if "Idempotency-Replayed" not in a.headers]
            assert len(first) == 1
    assert await _stored(sql) == (5, 5)


async def test_of_two_bodies_with_one_key_one_is_rejected(
    client: TestClientProtocol, sql: Sql
) -> None:
    answers = await asyncio.gather(*(_post(client, amount=n % 2 + 1) for n in range(40)))
    statuses = [answer.status_code for answer in answers]
    assert sorted(set(statuses)) == [201, 422]
    assert statuses.count(201) == 20
    refused = next(answer for answer in answers if answer.status_code == 422)
    assert (await refused.get_json())["code"] == "idempotency_key_reused"
    assert await _stored(sql) == (1, 1)


async def test_a_repeat_waits_for_the_first_request_in_flight(
    client: TestClientProtocol, sql: Sql, database_url: str
) -> None:
    async with _blocked_key(database_url, "k") as other:
        answering = asyncio.create_task(_post(client))
        await _until(lambda: sql.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
        assert not answering.done()
        await other.execute("COMMIT")
        answer = await answering
    assert answer.status_code == 201
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert (await _stored(sql))[0] == 1


async def test_a_repeat_creates_the_payment_if_the_first_rolled_back(
    client: TestClientProtocol, sql: Sql, database_url: str
) -> None:
    async with _blocked_key(database_url, "k") as other:
        answering = asyncio.create_task(_post(client))
        await _until(lambda: sql.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
        await other.execute("ROLLBACK")
        answer = await answering
    assert answer.status_code == 201
    assert "Idempotency-Replayed" not in answer.headers
    assert await _stored(sql) == (1, 1)


async def test_keys_are_inserted_in_one_order(
    client: TestClientProtocol, sql: Sql, database_url: str
) -> None:
    """Statements that share keys would deadlock. A retry hides that, so check the locks."""
    keys = ["k9", "k5", "k1"]
    items = [BODY | {"idempotencyKey": key} for key in keys]
    async with _blocked_key(database_url, "k5") as other:
        answering = asyncio.create_task(client.post("/payments/batch", json={"payments": items}))
        await _until(lambda: sql.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
        # The statement has inserted k1, waits for k5, and has not reached k9.
        async with asyncio.timeout(3), _blocked_key(database_url, "k9"):
            pass
        await other.execute("ROLLBACK")
        await answering
    assert await _stored(sql) == (3, 3)


async def test_a_replay_of_a_settled_payment_is_the_first_answer_byte_for_byte(
    client: TestClientProtocol, sql: Sql, start_worker: Callable[..., Any]
) -> None:
    first = await _post(client, description="é ☂ 👩‍👩‍👧")
    await start_worker()
    await _until(
        lambda: sql.fetchval("SELECT EXISTS (SELECT FROM payments WHERE status = 'completed')")
    )
    again = await _post(client, description="é ☂ 👩‍👩‍👧")
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
    await _post(client, first)
    answer = await _post(client, again)
    assert (answer.status_code, answer.headers["Idempotency-Replayed"]) == (201, "true")
    assert await _stored(sql) == (1, 1)


async def test_keys_are_case_sensitive(client: TestClientProtocol, sql: Sql) -> None:
    await _post(client, "key")
    await _post(client, "KEY")
    assert await _stored(sql) == (2, 2)


async def test_creating_a_payment_and_its_job_takes_one_round_trip(
    app: Quart, client: TestClientProtocol
) -> None:
    await _post(client, "warm")  # Connects and prepares the statement.
    sent = _watch_statements(app)
    await _post(client)
    await asyncio.sleep(0.1)  # The notification is sent later, outside the payment's transaction.
    creating = [statement for statement in sent if "pg_notify" not in statement]
    assert len(creating) == 1
    assert "INSERT INTO payments" in creating[0]
    assert "INSERT INTO recon_jobs" in creating[0]


async def test_concurrent_requests_share_statements(app: Quart, client: TestClientProtocol) -> None:
    await _post(client, "warm")
    sent = _watch_statements(app)
    answers = await asyncio.gather(*(_post(client, f"k{n}") for n in range(100)))
    assert {answer.status_code for answer in answers} == {201}
    assert len([statement for statement in sent if "INSERT INTO payments" in statement]) <= 10


async def test_dead_idle_connections_cause_no_error(client: TestClientProtocol, sql: Sql) -> None:
    await asyncio.gather(*(_post(client, f"warm{n}") for n in range(5)))
    for n in range(3):
        for pid in await _backends(sql):
            await sql.execute("SELECT pg_terminate_backend($1, 1000)", pid)
        assert (await _post(client, f"k{n}")).status_code == 201


async def test_a_cut_connection_loses_and_duplicates_nothing(
    client: TestClientProtocol, sql: Sql, database_url: str
) -> None:
    async with _blocked_key(database_url, "blocked"):
        answering = [asyncio.create_task(_post(client, key)) for key in ("blocked", "other")]
        await _until(lambda: _backends(sql, " AND wait_event_type = 'Lock'"))
        for pid in await _backends(sql):
            await sql.execute("SELECT pg_terminate_backend($1, 1000)", pid)
    answers = await asyncio.gather(*answering)
    for key, answer in zip(("blocked", "other"), answers, strict=True):
        if answer.status_code != 201:
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert (await _post(client, key)).status_code == 201
    assert await _stored(sql) == (2, 2)


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
            answer = await _post(client, key)
            if answer.status_code == 201:
                return str((await answer.get_json())["id"])
            assert answer.status_code == 503
            await asyncio.sleep(0.01)

    cutting = asyncio.create_task(cut())
    ids = await asyncio.gather(*(pay(f"k{n}") for n in range(200)))
    await cutting
    assert len(set(ids)) == 200
    assert await _stored(sql) == (200, 200)
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
    creation = await _here(app).writer.create(ORDER, None)
    assert calls == 2
    assert not creation.replayed  # This caller has not received an answer before.
    assert await sql.fetchval("SELECT id FROM payments") == creation.payment.id
    assert await _stored(sql) == (1, 1)


async def test_one_invalid_row_in_a_shared_statement_fails_alone(app: Quart, sql: Sql) -> None:
    orders = [replace(ORDER, idempotency_key=f"k{n}") for n in range(20)]
    orders[7] = replace(
        orders[7], account_id="sys:clearing:00"
    )  # Simulates invalid input that parsing lets through.
    orders[13] = replace(orders[13], description="d" * 501)
    answers = await _here(app).writer.create_each(orders, None)
    failed = [n for n, answer in enumerate(answers) if not isinstance(answer, Creation)]
    assert failed == [7, 13]
    assert await _stored(sql) == (18, 18)


@pytest.mark.parametrize(("bad", "stored", "statements_max"), [(1, 999, 22), (1000, 0, 101)])
async def test_bad_rows_are_isolated_in_few_statements(
    app: Quart, sql: Sql, bad: int, stored: int, statements_max: int
) -> None:
    payments = [replace(ORDER, idempotency_key=f"k{n}") for n in range(1000)]
    for n in range(bad):
        payments[n] = replace(payments[n], description="d" * 501)
    sent = _watch_statements(app)
    answers = await _here(app).writer.create_each(payments, None)
    inserts = [statement for statement in sent if "INSERT INTO payments" in statement]
    assert len(inserts) <= statements_max
    assert sum(isinstance(answer, Creation) for answer in answers) == stored
    assert all(isinstance(answer, Exception) for answer in answers[:bad])
    assert await _stored(sql) == (stored, stored)


async def test_a_bad_row_whose_client_left_does_not_fail_its_neighbour(
    app: Quart, sql: Sql, database_url: str
) -> None:
    writer = _here(app).writer
    good = replace(ORDER, idempotency_key="blocked")
    bad = replace(ORDER, idempotency_key="inserted later", description="d" * 501)
    async with _blocked_key(database_url, good.idempotency_key):
        staying, leaving = (asyncio.create_task(writer.create(p, None)) for p in (good, bad))
        await _until(lambda: _backends(sql, " AND wait_event_type = 'Lock'"))
        leaving.cancel()
        await asyncio.sleep(0)
    assert not (await asyncio.wait_for(staying, 10)).replayed
    assert await _stored(sql) == (1, 1)


async def test_a_cancelled_request_does_not_affect_its_neighbours(
    client: TestClientProtocol, sql: Sql, database_url: str
) -> None:
    async with _blocked_key(database_url, "blocked"):
        leaving = asyncio.create_task(_post(client, "blocked"))
        staying = asyncio.create_task(_post(client, "staying"))
        await _until(lambda: _backends(sql, " AND wait_event_type = 'Lock'"))
        leaving.cancel()
        await asyncio.sleep(0.05)
    assert (await staying).status_code == 201
    # Its payment may be created nevertheless; a retry with the key tells.
    assert (await _post(client, "blocked")).status_code == 201
    assert await _stored(sql) == (2, 2)


async def test_requests_beyond_the_queue_are_rejected_and_accepted_later(
    api_url_of_database: str, sql: Sql, database_url: str
) -> None:
    settings = ApiSettings.model_validate(
        {"auth": "off", "DATABASE_URL": api_url_of_database, "create_queue_max": 3}
    )
    async with create_app(settings).test_app() as app:
        client = app.test_client()
        async with _blocked_key(database_url, "blocked"):
            first = asyncio.create_task(_post(client, "blocked"))
            await _until(lambda: _backends(sql, " AND wait_event_type = 'Lock'"))
            waiting = [asyncio.create_task(_post(client, f"k{n}")) for n in range(3)]
            await asyncio.sleep(0.1)
            refused = await asyncio.wait_for(_post(client, "late"), 1)
            assert refused.status_code == 503
            assert (await refused.get_json())["code"] == "overloaded"
            assert refused.headers["Retry-After"] == "1"
        answers = [*await asyncio.gather(first, *waiting), await _post(client, "late")]
    assert [answer.status_code for answer in answers] == [201] * 5
    assert await _stored(sql) == (5, 5)


async def test_an_unreachable_database_gives_503_and_needs_no_restart(
    database_proxy: TcpProxy, proxied_url: str, sql: Sql
) -> None:
    settings = ApiSettings.model_validate({"auth": "off", "DATABASE_URL": proxied_url})
    async with create_app(settings).test_app() as app:
        client = app.test_client()
        assert (await _post(client, "before")).status_code == 201
        database_proxy.cut()
        for address in ("/payments", "/accounts/acc_1/balance", "/readyz", "/jobs/stats"):
            answer = await asyncio.wait_for(client.get(address), 10)
            assert answer.status_code == 503, address
            assert answer.content_type == "application/problem+json"
        answer = await asyncio.wait_for(_post(client, "while"), 10)
        assert answer.status_code == 503
        assert (await answer.get_json())["code"] == "database_unavailable"
        assert int(answer.headers["Retry-After"]) > 0
        assert (await client.get("/livez")).status_code == 200
        database_proxy.mend()
        assert (await _post(client, "while")).status_code == 201
        assert (await _post(client, "before")).headers["Idempotency-Replayed"] == "true"
        assert (await client.get("/readyz")).status_code == 200
    assert await _stored(sql) == (2, 2)


async def test_a_silent_network_gives_503_and_does_not_block_later_requests(
    database_proxy: TcpProxy, proxied_url: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payments_api.payments.store.STATEMENT_SECONDS_MAX", 0.3)
    settings = ApiSettings.model_validate({"auth": "off", "DATABASE_URL": proxied_url})
    async with create_app(settings).test_app() as app:
        client = app.test_client()
        assert (await _post(client, "before")).status_code == 201
        database_proxy.stall()
        answer = await asyncio.wait_for(_post(client, "while"), 5)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        database_proxy.mend()
        assert (await asyncio.wait_for(_post(client, "while"), 5)).status_code == 201
    assert await _stored(sql) == (2, 2)


async def test_a_key_never_expires_and_spans_restarts(api_url_of_database: str, sql: Sql) -> None:
    settings = ApiSettings.model_validate({"auth": "off", "DATABASE_URL": api_url_of_database})
    bodies = []
    for _ in range(2):
        async with create_app(settings).test_app() as app:
            bodies.append(await (await _post(app.test_client())).get_data())
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
        async with _blocked_key(database_url, "k"):
            answering = asyncio.create_task(
                http.post("/payments", json=BODY, headers={"Idempotency-Key": "k"})
            )
            await _until(lambda: _backends(sql, " AND wait_event_type = 'Lock'"))
            served.lifecycle.stopping.set()
            await asyncio.sleep(0.2)
            with pytest.raises(httpx.ConnectError):
                async with httpx.AsyncClient(base_url=served.url) as late:
                    await late.get("/health")
            assert not answering.done()
        answer = await answering
    assert answer.status_code == 201
    await asyncio.wait_for(served.ended, 10)
    assert await _stored(sql) == (1, 1)


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
