"""A cancelled connect attempt leaks nothing."""

import asyncio
import gc
from typing import Any

import pytest

from payments_core.db.engine import connect
from testkit.database.sql import Sql
from testkit.waiting import until

TURNS_MAX = 25  # Turns of the event loop; logging in takes about ten.


@pytest.fixture
async def complaints() -> list[str]:
    """Collect asyncio's reports about unhandled exceptions."""
    reported: list[str] = []

    def note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        reported.append(f"{context['message']}: {context.get('exception')}")

    asyncio.get_running_loop().set_exception_handler(note)
    return reported


async def test_a_connect_cancelled_at_any_point_leaks_no_exception(
    database_url: str, complaints: list[str]
) -> None:
    for turns in range(TURNS_MAX):
        connecting = asyncio.create_task(connect(database_url))
        for _ in range(turns):
            await asyncio.sleep(0)
        if not connecting.cancel():
            (await connecting).terminate()
        await asyncio.wait([connecting])
        await asyncio.sleep(0.01)
        gc.collect()
        assert not complaints, f"cancelled after {turns} turns"


async def test_a_cancelled_connect_leaves_no_session(database_url: str, sql: Sql) -> None:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cut-short'"
    settings = {"application_name": "cut-short"}
    connecting = asyncio.create_task(connect(database_url, server_settings=settings))
    await asyncio.sleep(0)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting

    async def no_session() -> bool:
        return bool(await sql.fetchval(query) == 0)

    await until(no_session)
