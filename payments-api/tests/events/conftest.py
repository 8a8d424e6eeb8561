"""Open event streams, and an API that listens."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from quart.typing import TestClientProtocol

from payments_api.events import feed as event_feed
from payments_api.events.feed import EventFeed
from testkit.database.sql import Sql
from testkit.waiting import WAIT_SECONDS_MAX, until


@dataclass
class Stream:
    """An open stream, read line by line."""

    lines: AsyncIterator[str]
    response: httpx.Response

    async def block(self) -> dict[str, str]:
        """Return the fields up to the next empty line; a comment has the name ''."""
        found: dict[str, str] = {}
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            async for line in self.lines:
                if not line:
                    return found
                name, _, value = line.partition(":")
                found[name] = value.strip()
        raise EOFError(found)

    async def event(self, name: str = "payment") -> dict[str, Any]:
        """Return the next event with that name; its id is under 'eventId'."""
        while True:
            block = await self.block()
            if block.get("event") == name:
                return {"eventId": block["id"], **json.loads(block["data"])}


@asynccontextmanager
async def open_stream(served: Any, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    async with (
        httpx.AsyncClient(base_url=served.url, timeout=None) as http,
        http.stream("GET", f"/payments/events{query}", headers=headers) as response,
    ):
        assert response.status_code == 200
        yield Stream(response.aiter_lines(), response)


def feed_of(served: Any) -> EventFeed:
    feed: EventFeed = served.app.extensions["payments_api"].events
    return feed


async def until_true(done: Callable[[], bool]) -> None:
    async def is_done() -> bool:
        return done()

    await until(is_done)


async def until_listening(sql: Sql) -> None:
    """Wait until the API listens to the database's notifications."""

    async def listens() -> bool:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'payments-api-listen'"
            " AND query LIKE 'LISTEN%'"
        )
        return bool(await sql.fetchval(query))

    await until(listens)


@pytest.fixture
async def settled(serve_api: Any, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the API until after the resync that it sends when it begins to listen."""
    monkeypatch.setattr(event_feed, "RESYNC_PAUSE_SECONDS", 0.05)
    served = await serve_api()
    await until_listening(sql)
    await asyncio.sleep(0.15)
    return served


async def read_events_page(client: TestClientProtocol, status: int = 200, **query: Any) -> Any:
    answer = await client.get(f"/events?{urlencode(query)}")
    body = await answer.get_json()
    assert answer.status_code == status, body
    return body


def idempotency(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}
