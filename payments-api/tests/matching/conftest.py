"""Books with matched and unmatched entries and lines."""

from datetime import timedelta
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api.auth.keys import KeyGrant, add_key, new_key
from payments_core.db.engine import create_engine, transaction
from payments_core.statements.sources import find_source
from recon_worker.statements.matching.run import run_matching
from testkit.database.matching_books import (
    DAY,
    Entry,
    Line,
    add_entries,
    add_source,
    add_statement,
)
from testkit.database.sql import Sql

AS_OF = (DAY + timedelta(days=10)).isoformat()
REASON = {"reason": "one customer, two invoices", "actor": "ada"}


async def run_match(engine: AsyncEngine, name: str = "bank", tenant: str | None = None) -> None:
    async with transaction(engine) as tx:
        source = await find_source(tx, name, tenant)
    await run_matching(engine, source, DAY + timedelta(days=10))


async def get_ok(client: TestClientProtocol, path: str, **options: Any) -> Any:
    answer = await client.get(path, **options)
    assert answer.status_code == 200, await answer.get_data()
    return await answer.get_json()


@pytest.fixture
async def books(sql: Sql, engine: AsyncEngine) -> tuple[list[int], list[int]]:
    """Entries and lines of a run: one matched, one of two invoices, one with a typo, one fee."""
    source = await add_source(sql)
    entries = [Entry("10", "A"), Entry("7", "B"), Entry("5", "C"), Entry("6", "C2")]
    lines = [Line("10", "A"), Line("7", "typo"), Line("11", "both"), Line("-1.20")]
    ids = await add_entries(sql, entries), await add_statement(sql, source, lines)
    await run_match(engine)
    return ids


@pytest.fixture
async def headers_of(kept: Quart, database_url: str) -> dict[str, dict[str, str]]:
    """Return the headers of three keys: of two tenants, and of one that may only read."""
    owner = create_engine(database_url, application_name="test", pool_size=1)
    made = {}
    for name, tenant, scopes in (
        ("acme", "acme", {"recon:read", "recon:write", "payments:read"}),
        ("blue", "blue", {"recon:read", "recon:write"}),
        ("reader", None, {"recon:read"}),
    ):
        key = new_key()
        async with transaction(owner) as tx:
            await add_key(tx, key, KeyGrant(name, frozenset(scopes), tenant))
        made[name] = {"Authorization": f"Bearer {key}"}
    await owner.dispose()
    return made
