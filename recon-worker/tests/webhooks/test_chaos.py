"""Every event arrives, though the receiver fails, hangs, lies and dies, and Postgres crashes."""

import asyncio
import json
import random
from collections.abc import Iterator

import asyncpg
import pytest

from payments_core.audit_log import Operator
from payments_core.db.engine import create_engine, transaction
from payments_core.server.options import Lifecycle
from payments_core.webhooks.endpoints import EndpointFields, create_endpoint
from payments_local.postgres import EmbeddedPostgres
from recon_worker.webhooks import client as http
from recon_worker.webhooks import health, sender
from recon_worker.webhooks.background import fan_out_events
from recon_worker.webhooks.client import WebhookClient
from recon_worker.webhooks.sender import Sender
from testkit.database.backlog import add_simple
from testkit.database.ledgers.settled import FAST, until_all_settled
from testkit.database.reversals import add_reversal
from testkit.database.sql import Sql
from testkit.network.receiver import (
    Received,
    Receiver,
    accept,
    answer,
    assert_signed,
    hang,
    running_receiver,
)
from testkit.waiting import until
from testkit.worker.own_system import migrated_postgres, running_worker, worker_url

PAYMENTS, CRASHES = 60, 2
SOON = """
UPDATE webhook_deliveries SET next_attempt_at = now()
WHERE status = 'pending' AND lease_token IS NOT NULL
  AND next_attempt_at < now() + interval '29 s'"""

REFUSED = "SELECT count(*) FROM webhook_attempts WHERE error LIKE 'ConnectionRefusedError%'"


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[EmbeddedPostgres]:
    with migrated_postgres() as server:
        yield server


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "delay_seconds", lambda attempts: 0.1)
    monkeypatch.setattr(health, "PAUSE_FRACTION", 0.0)
    monkeypatch.setattr(http, "ATTEMPT_SECONDS_MAX", 1.0)


def treacherous(receiver: Receiver, accepted: list[str]) -> None:
    """Let the receiver accept a third of the requests, and do something else to the others."""
    choose = random.Random(7)

    async def behave(request: Received, writer: asyncio.StreamWriter) -> None:
        match choose.randrange(9):
            case 0 | 1 | 2:
                accepted.append(request.event_id)
                await accept(request, writer)
            case 3:
                writer.write(answer(500, b"no"))
            case 4:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort")
                writer.close()
            case 5:
                writer.write(b"I am no server\r\n\r\n")
            case 6:
                writer.close()
            case 7:
                accepted.append(request.event_id)  # It has it, and its answer is lost.
                writer.close()
            case _:
                await hang(request, writer)

    receiver.behave = behave


async def test_every_committed_event_arrives_in_its_payments_order(
    own_postgres: EmbeddedPostgres,
) -> None:
    url = worker_url(own_postgres)
    accepted: list[str] = []
    async with running_receiver() as receiver:
        treacherous(receiver, accepted)
        engine = create_engine(url, application_name="chaos", pool_size=4)
        fields = EndpointFields(receiver.url(), loopback_allowed=True)
        async with transaction(engine) as tx:
            _, secret = await create_endpoint(tx, fields, None, Operator("ann"))
        lifecycle = Lifecycle()
        client = WebhookClient(loopback_allowed=True)
        sending = Sender(engine, client, lifecycle, concurrency=40, drain_seconds=2)
        tasks = [
            asyncio.create_task(sending.run()),
            asyncio.create_task(fan_out_events(engine, sending.wake)),
        ]
        sql = await asyncpg.connect(own_postgres.url)
        stored = await add_simple(sql, PAYMENTS)
        async with running_worker(url, **FAST):
            await until_all_settled(sql)
            for payment in stored:
                await add_reversal(sql, payment, "0.10")
            await until_all_settled(sql)
        for crash in range(1, CRASHES + 1):
            wanted = crash * len(stored) // 2

            async def some_arrived(wanted: int = wanted) -> bool:
                return len(set(accepted)) >= wanted

            await until(some_arrived, 60)
            await sql.close(timeout=1)
            own_postgres.crash()
            await asyncio.sleep(0.3)
            own_postgres.start()
            sql = await asyncpg.connect(own_postgres.url)
            await receiver.die()

            async def refuses(sql: Sql = sql, crash: int = crash) -> bool:
                return bool(await sql.fetchval(REFUSED) >= crash)

            await until(refuses, 60)
            await receiver.rise()

        async def all_delivered() -> bool:
            await sql.execute(SOON)
            rows = await sql.fetch("SELECT status, count(*) FROM webhook_deliveries GROUP BY 1")
            counts = {row["status"]: row["count"] for row in rows}
            return counts == {"delivered": 2 * PAYMENTS}

        await until(all_delivered, 120)
        expected = await sql.fetch(
            "SELECT payment_id, event_id FROM webhook_deliveries ORDER BY position"
        )
        lifecycle.stopping.set()
        await tasks[0]
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await sql.close()
        await engine.dispose()
    _check(receiver, accepted, [(row[0], row[1]) for row in expected], secret)


def _check(
    receiver: Receiver, accepted: list[str], expected: list[tuple[object, str]], secret: str
) -> None:
    assert set(accepted) == {event_id for _, event_id in expected}
    first_at = {event_id: number for number, event_id in reversed(list(enumerate(accepted)))}
    number_of = {
        one.event_id: json.loads(one.body)["data"]["accountSeq"] for one in receiver.received
    }
    of_payment: dict[object, list[str]] = {}
    for payment_id, event_id in expected:
        of_payment.setdefault(payment_id, []).append(event_id)
    for events in of_payment.values():
        assert len(events) == 2
        assert first_at[events[0]] < first_at[events[1]]
        assert number_of[events[0]] < number_of[events[1]]
    bodies: dict[str, set[bytes]] = {}
    for request in receiver.received:
        assert_signed(request, secret)
        bodies.setdefault(request.event_id, set()).add(request.body)
        assert json.loads(request.body)["id"] == request.event_id
    assert all(len(one) == 1 for one in bodies.values())
