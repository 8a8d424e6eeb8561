"""Readers of the page: some follow it live, and all fetch pages now and then."""

import asyncio
from contextlib import suppress
from typing import NoReturn

import httpx

FOLLOWERS = 5
LOOK_EACH_SECONDS = 2.0
PLACES = ("/", "/operate/", "/activity", "/accounts/acc_1", "/payments?status=failed")
AGAIN_SECONDS = 1.0
TIMEOUT = httpx.Timeout(20.0, read=60.0)  # The page sends a beat every 10 s.


async def watch_the_page(port: int) -> NoReturn:
    """Read streams, reconnecting as browsers do, and fetch pages, until cancelled."""
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=TIMEOUT) as http,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(FOLLOWERS):
            group.create_task(_follow(http))
        await _look_around(http)
    raise AssertionError("it ends by being cancelled")


async def _follow(http: httpx.AsyncClient) -> NoReturn:
    while True:
        with suppress(httpx.HTTPError):
            async with http.stream("GET", "/live") as stream:
                async for _ in stream.aiter_raw():
                    pass
        await asyncio.sleep(AGAIN_SECONDS)


async def _look_around(http: httpx.AsyncClient) -> NoReturn:
    while True:
        for place in PLACES:
            with suppress(httpx.HTTPError):
                await http.get(place)
            await asyncio.sleep(LOOK_EACH_SECONDS)
