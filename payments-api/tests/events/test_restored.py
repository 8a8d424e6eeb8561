"""The event log after the database was restored to an earlier time, as docs/operations says."""

from urllib.parse import urlencode

import pytest
from quart.typing import TestClientProtocol

from testkit.database.backlog import add_simple, die
from testkit.database.sql import Sql

LAST = "SELECT last_value FROM reconciliation_results_id_seq"


async def _read(client: TestClientProtocol, after: str) -> tuple[list[int], str]:
    answer = await client.get(f"/events?{urlencode({'after': after})}")
    body = await answer.get_json()
    return [event["data"]["jobId"] for event in body["events"]], body["nextAfter"]


async def _restore(sql: Sql) -> None:
    """Lose the second of two events."""
    await sql.execute("SET session_replication_role = replica")
    await sql.execute("DELETE FROM job_deaths WHERE job_id = 2")
    await sql.execute("RESET session_replication_role")
    await sql.execute("SELECT setval('reconciliation_results_id_seq', max(id)) FROM job_deaths")


@pytest.mark.parametrize(("continued", "seen"), [(True, [3]), (False, [])])
async def test_a_consumers_position_skips_no_event_if_the_numbers_continue(
    client: TestClientProtocol, sql: Sql, continued: bool, seen: list[int]
) -> None:
    first, second, third = await add_simple(sql, 3)
    for payment in (first, second):
        await die(sql, payment)
    _, position = await _read(client, (await _read(client, "latest"))[1])
    before = await sql.fetchval(LAST)
    await _restore(sql)
    if continued:
        await sql.execute("SELECT setval('reconciliation_results_id_seq', $1::bigint)", before)
    await die(sql, third)
    assert (await _read(client, position))[0] == seen
