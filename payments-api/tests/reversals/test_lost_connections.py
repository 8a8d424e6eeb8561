"""Reversals while connections to Postgres break: nothing is lost, nothing happens twice."""

import asyncio

from quart.typing import TestClientProtocol

from testkit.database.backlog import Stored
from testkit.database.sql import Sql

from .conftest import STORED, reverse

CUTS = 60
CLIENTS = 12
OF_EACH = 10
CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'payments-api' AND random() < 0.5"""


async def test_reversals_survive_repeatedly_cut_connections(
    client: TestClientProtocol, sql: Sql, paid: Stored
) -> None:
    async def cut() -> None:
        for _ in range(CUTS):  # Bounded, so that the test also ends on a slow machine.
            await sql.execute(CUT)
            await asyncio.sleep(0.01)

    async def reverse_each(number: int) -> list[str]:
        ids = []
        for key in (f"{number}-{n}" for n in range(OF_EACH)):
            while (answer := await reverse(client, paid, key, amount="0.01")).status_code != 201:
                assert answer.status_code == 503, await answer.get_data()
                await asyncio.sleep(0.01)
            ids.append((await answer.get_json())["id"])
        return ids

    cutting = asyncio.create_task(cut())
    reversed_by = await asyncio.gather(*map(reverse_each, range(CLIENTS)))
    ids = [each for of_client in reversed_by for each in of_client]
    await cutting
    assert len(set(ids)) == CLIENTS * OF_EACH
    assert tuple(await sql.fetchrow(STORED) or ()) == (len(ids), len(ids))
    assert set(ids) == {str(row[0]) for row in await sql.fetch("SELECT id FROM reversals")}
    reserved = await sql.fetchval("SELECT reserved FROM reversal_totals")
    assert reserved * 100 == len(ids)
