"""Two hundred open pages on one UI process stay live at fifty payments a second."""

import asyncio
from dataclasses import dataclass, field
from time import monotonic
from uuid import uuid4

import httpx
import psutil

from payments_ui.live.sse import EventReader
from testkit.browser.whole_system import WholeSystem
from testkit.waiting import WAIT_SECONDS_MAX

PAGES = 200
PAYMENTS_PER_SECOND = 50
SECONDS = 10
BATCHES_PER_SECOND = 2
MEMORY_GROWTH_BYTES_MAX = 64 << 20


@dataclass
class ListeningPage:
    """The state of a page that listens to the stream."""

    events: int = 0
    resyncs: int = 0
    state: str = ""
    outcomes: set[str] = field(default_factory=set)
    ended: bool = False

    async def listen(self, client: httpx.AsyncClient, url: str) -> None:
        """Read the stream until cancelled."""
        reader = EventReader()
        async with client.stream("GET", url) as response:
            assert response.status_code == 200
            async for chunk in response.aiter_raw():
                for event in reader.feed(chunk):
                    self.events += 1
                    self.resyncs += event.name == "resync"
                    if event.name == "state":
                        self.state = event.data
                    for row in event.data.split("<tr ")[1:] if event.name == "payments" else ():
                        if 'data-status="completed"' in row:
                            self.outcomes.add(row.partition('data-id="')[2][:36])
        self.ended = True


async def pay_batches(client: httpx.AsyncClient, api_url: str) -> list[str]:
    """Create fifty payments a second as other clients; return the ids of the last batch."""
    ids: list[str] = []
    started = monotonic()
    for number in range(SECONDS * BATCHES_PER_SECOND):
        orders = [
            {"idempotencyKey": str(uuid4()), "accountId": f"acct_load_{each}", "amount": "1.00"}
            for each in range(PAYMENTS_PER_SECOND // BATCHES_PER_SECOND)
        ]
        answer = await client.post(f"{api_url}/payments/batch", json={"payments": orders})
        answer.raise_for_status()
        ids = [each["payment"]["id"] for each in answer.json()["payments"]]
        await asyncio.sleep(started + (number + 1) / BATCHES_PER_SECOND - monotonic())
    return ids


async def drive(system: WholeSystem) -> list[ListeningPage]:
    pages = [ListeningPage() for _ in range(PAGES)]
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=30, limits=limits) as client:
        position = (
            (await client.get(system.url)).text.partition("/live?since=")[2].partition('"')[0]
        )
        streams = [
            asyncio.create_task(page.listen(client, f"{system.url}/live?since={position}"))
            for page in pages
        ]
        last = await pay_batches(client, system.api_url)
        deadline = monotonic() + WAIT_SECONDS_MAX
        missing = PAGES
        while missing and monotonic() < deadline:
            await asyncio.sleep(0.1)
            missing = sum(not page.outcomes.issuperset(last) for page in pages)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
    assert not missing, f"{missing} pages have not received the last payments"
    return pages


def test_two_hundred_pages_stay_live(system: WholeSystem) -> None:
    assert system.ui.process is not None
    process = psutil.Process(system.ui.process.pid)
    before = process.memory_info().rss
    pages = asyncio.run(drive(system))
    assert all(page.state == "live" for page in pages)
    assert not any(page.ended for page in pages)
    assert process.memory_info().rss - before < MEMORY_GROWTH_BYTES_MAX
