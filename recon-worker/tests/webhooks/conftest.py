"""Fixtures of tests of webhooks: receivers, endpoints, and the tasks of the role webhooks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import create_engine, single_statement, transaction
from payments_core.db.event_log import event_json, read_events
from payments_core.server.options import Lifecycle
from payments_core.webhooks.endpoints import (
    EndpointFields,
    create_endpoint,
)
from recon_worker.webhooks import client as http
from recon_worker.webhooks import health, sender
from recon_worker.webhooks.background import fan_out_events
from recon_worker.webhooks.client import WebhookClient
from recon_worker.webhooks.connection import Answer
from recon_worker.webhooks.sender import Sender
from testkit.database.backlog import add_simple
from testkit.database.ledgers.settled import FAST, until_all_settled
from testkit.database.sql import Sql
from testkit.network.receiver import (
    Receiver,
    running_receiver,
)
from testkit.waiting import until
from testkit.worker.own_system import running_worker

OPERATOR = Operator("ann")
ENDPOINT = UUID(int=1)
NewEndpoint = Callable[..., Awaitable["Endpoint"]]
Sending = Callable[..., AbstractAsyncContextManager[Sender]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A stored endpoint: its id, its secret, and the path at the receiver."""

    id: UUID
    secret: str
    path: str


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as receiver:
        yield receiver


@pytest.fixture
def new_endpoint(engine: AsyncEngine, receiver: Receiver) -> NewEndpoint:
    """`await new_endpoint("/path", types=(), tenant=None)` stores an endpoint."""

    async def create(
        path: str = "/", types: tuple[str, ...] = (), tenant: str | None = None
    ) -> Endpoint:
        fields = EndpointFields(receiver.url(path), types, loopback_allowed=True)
        async with transaction(engine) as tx:
            row, secret = await create_endpoint(tx, fields, tenant, OPERATOR)
        return Endpoint(row.id, secret, path)

    return create


@pytest.fixture
def sending(worker_url_of_database: str) -> Sending:
    """`async with sending():` fans out and sends, as a worker process of its own does."""

    @asynccontextmanager
    async def run(concurrency: int = 50, drain_seconds: float = 5) -> AsyncIterator[Sender]:
        engine = create_engine(worker_url_of_database, application_name="sender", pool_size=4)
        lifecycle = Lifecycle()
        sender = Sender(
            engine,
            WebhookClient(loopback_allowed=True),
            lifecycle,
            concurrency=concurrency,
            drain_seconds=drain_seconds,
        )
        fanning = asyncio.create_task(fan_out_events(engine, sender.wake))
        running = asyncio.create_task(sender.run())
        try:
            yield sender
        finally:
            lifecycle.stopping.set()
            await running
            fanning.cancel()
            await asyncio.gather(fanning, return_exceptions=True)
            await engine.dispose()

    return run


@pytest.fixture
async def client() -> AsyncIterator[WebhookClient]:
    client = WebhookClient(loopback_allowed=True)
    yield client
    await client.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ATTEMPT_SECONDS_MAX", 0.5)


async def post(client: WebhookClient, receiver: Receiver, path: str = "/") -> Answer:
    return await client.post(
        receiver.url(path), [("content-type", "application/json")], b"{}", ENDPOINT
    )


@pytest.fixture
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
