"""Fixtures of the tests of matching."""

from collections.abc import Callable, Coroutine
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import transaction
from payments_core.matching.bridge import Bridge, read_bridge
from payments_core.statements.sources import find_source
from recon_worker.statements.matching.run import Outcome, run_matching
from testkit.database.matching_books import DAY

Match = Callable[..., Coroutine[Any, Any, Outcome]]


@pytest.fixture
def match(engine: AsyncEngine) -> Match:
    """`await match("bank", as_of=...)` runs the matching of a source."""

    async def run(
        name: str = "bank", as_of: date = DAY + timedelta(days=10), tenant: str | None = None
    ) -> Outcome:
        async with transaction(engine) as tx:
            source = await find_source(tx, name, tenant)
        return await run_matching(engine, source, as_of)

    return run


async def bridge_of(engine: AsyncEngine, source: int, on: date, as_of: date) -> Bridge:
    """Return the bridge of the source's day."""
    async with transaction(engine) as tx:
        return await read_bridge(tx, source, on, as_of)
