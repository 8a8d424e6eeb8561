"""Worker processes that die in the middle of it, or have one role of the two."""

import asyncio
from pathlib import Path

import pytest

from recon_worker.failpoints import VARIABLE
from testkit.database.backlog import add_simple
from testkit.database.ledgers.settled import FAST, until_all_settled
from testkit.database.sql import Sql
from testkit.network.receiver import Receiver, assert_signed
from testkit.waiting import until
from testkit.worker.own_system import running_worker
from testkit.worker.worker_process import WorkerProcess

from .conftest import NewEndpoint

WEBHOOKS = {"RECON_WORKER_ROLES": "webhooks", "RECON_WORKER_WEBHOOK_LOOPBACK": "true"}
EVENTS = 20


@pytest.mark.parametrize(
    ("point", "sent_before"),
    [
        ("before_fan_out_commit 1", False),
        ("after_webhook_sent 1", True),
        ("after_webhook_sent 7", True),
        ("before_webhook_commit 1", True),
    ],
)
async def test_every_event_arrives_after_a_kill(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    tmp_path: Path,
    point: str,
    sent_before: bool,
) -> None:
    endpoint = await new_endpoint()
    stored = await add_simple(sql, EVENTS)
    async with running_worker(worker_url_of_database, **FAST):
        await until_all_settled(sql)
    armed = {**WEBHOOKS, VARIABLE: f"kill {point}"}
    first = WorkerProcess(worker_url_of_database, tmp_path / "first.log", **armed)
    try:
        assert await asyncio.to_thread(first.wait, 40) == -9
    finally:
        first.kill()
    assert bool(receiver.received) is sent_before
    assert not await sql.fetchval("SELECT count(*) FROM webhook_attempts")
    second = WorkerProcess(worker_url_of_database, tmp_path / "second.log", **WEBHOOKS)
    try:
        await second.until_ready()
        # Those that the first one leased are due once its lease ends.
        await sql.execute("UPDATE webhook_deliveries SET next_attempt_at = now()")

        async def delivered() -> bool:
            done = "SELECT count(*) FROM webhook_deliveries WHERE status = 'delivered'"
            return bool(await sql.fetchval(done) == EVENTS)

        await until(delivered)
        await second.stop()
    finally:
        second.kill()
    bodies: dict[str, set[bytes]] = {}
    for request in receiver.received:
        bodies.setdefault(request.event_id, set()).add(request.body)
        assert_signed(request, endpoint.secret)
    assert bodies.keys() == {f"evt_{payment.id.hex}" for payment in stored}
    assert all(len(one) == 1 for one in bodies.values())


async def test_a_worker_for_webhooks_alone_settles_nothing_and_stops_cleanly(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    tmp_path: Path,
) -> None:
    await new_endpoint()
    await add_simple(sql, EVENTS)
    worker = WorkerProcess(worker_url_of_database, tmp_path / "log", **WEBHOOKS)
    try:
        await worker.until_ready()
        await asyncio.sleep(1)
        assert (
            await sql.fetchval("SELECT count(*) FROM payments WHERE status = 'pending'") == EVENTS
        )
        assert await sql.fetchval("SELECT count(*) FROM workers") == 0
        async with running_worker(worker_url_of_database, **FAST):
            await until_all_settled(sql)

        async def received() -> bool:
            return len(receiver.received) == EVENTS

        await until(received)
        await worker.stop()
    finally:
        worker.kill()


async def test_a_worker_settles_and_sends_unless_told_otherwise(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    tmp_path: Path,
) -> None:
    await new_endpoint()
    await add_simple(sql, EVENTS)
    environ = {"RECON_WORKER_WEBHOOK_LOOPBACK": "true"}
    worker = WorkerProcess(worker_url_of_database, tmp_path / "log", **environ)
    try:

        async def received() -> bool:
            return len(receiver.received) == EVENTS

        await until(received, 40)
        await worker.stop()
    finally:
        worker.kill()
    assert "Traceback" not in worker.log.read_text()


async def test_a_worker_for_jobs_alone_sends_nothing(
    sql: Sql,
    worker_url_of_database: str,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    tmp_path: Path,
) -> None:
    await new_endpoint()
    await add_simple(sql, EVENTS)
    roles = {**WEBHOOKS, "RECON_WORKER_ROLES": "jobs"}
    worker = WorkerProcess(worker_url_of_database, tmp_path / "log", **roles)
    try:
        await worker.until_ready()
        await until_all_settled(sql)
        await asyncio.sleep(0.5)
        assert await sql.fetchval("SELECT position FROM webhook_cursor") == 0
        await worker.stop()
    finally:
        worker.kill()
    assert receiver.received == []
