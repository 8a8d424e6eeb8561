"""Event streams of tenants: each reports its own payments and nothing of others."""

import asyncio
import json
import re
from typing import Any, cast

import httpx
import pytest

from payments_api.events.feed import EventFeed
from payments_api.events.reader import Reader, ReaderLimits
from testkit.waiting import WAIT_SECONDS_MAX

from .conftest import Keys

pytestmark = pytest.mark.usefixtures("impatient")


async def test_a_returning_tenant_learns_nothing_of_other_tenants_events() -> None:
    feed = EventFeed(cast("Any", None), "", ReaderLimits(10, 10, 10))

    def publish(*accounts: str) -> None:
        for account in accounts:
            feed._publish("payment", {"accountId": account}, account)

    async def missed(seen: str, tenant: str = "blue") -> list[dict[str, str]]:
        reader = Reader(None, "test", tenant)
        async with feed.registered(reader, seen):
            texts = [event.as_text(tenant) for event in reader.waiting]
        fields = [dict(line.split(": ", 1) for line in t.strip().splitlines()) for t in texts]
        assert all(re.fullmatch("[0-9a-f]{16}", told["id"]) for told in fields)
        return fields

    publish("green~acc_1")
    (resync,) = await missed("0123456789abcdef")
    assert resync["event"] == "resync"
    assert await missed(resync["id"]) == []
    publish("blue~acc_1", "green~acc_2", "acc_3", "blue~acc_4")
    first, second = await missed(resync["id"])
    assert [json.loads(told["data"]) for told in (first, second)] == [
        {"accountId": "acc_1"},
        {"accountId": "acc_4"},
    ]
    assert await missed(first["id"]) == [second]
    assert [told["event"] for told in await missed(f"{feed._epoch}-1")] == ["resync"]
    # Other tenants' events do not use a tenant's queue.
    publish(*["green~acc_1"] * 300)
    assert await missed(first["id"]) == [second]
    publish(*["blue~acc_1"] * 300)
    assert [told["event"] for told in await missed(first["id"])] == ["resync"]


async def test_a_tenants_stream_reports_only_its_own_payments(
    serve_api: Any, make_key: Keys
) -> None:
    served = await serve_api(auth="on")
    headers = {
        tenant: {"Authorization": f"Bearer {await make_key(tenant)}"}
        for tenant in ("blue", "green")
    }
    async with (
        httpx.AsyncClient(base_url=served.url, timeout=WAIT_SECONDS_MAX) as http,
        http.stream("GET", "/payments/events", headers=headers["blue"]) as stream,
        asyncio.timeout(WAIT_SECONDS_MAX),
    ):
        lines = stream.aiter_lines()
        while await anext(lines):  # After the first bytes the reader is registered.
            pass
        made = {}
        for tenant in ("green", "blue"):
            answer = await http.post(
                "/payments",
                json={"accountId": "acc_1", "amount": "1.00"},
                headers={**headers[tenant], "Idempotency-Key": "k"},
            )
            made[tenant] = answer.json()["id"]
        async for line in lines:
            name, _, told = line.partition(": ")
            if name == "data" and told != "{}":  # A resync carries no data.
                break
        payment = json.loads(told)
        assert (payment["id"], payment["accountId"]) == (made["blue"], "acc_1")
