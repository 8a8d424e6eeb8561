"""The order of the event log: late commits are not skipped, readers see each event once."""

import asyncio

import asyncpg
from quart.typing import TestClientProtocol

from testkit.database.backlog import add_payments, add_simple, die
from testkit.database.ledgers.settled import settle_four
from testkit.database.sql import Sql

from .conftest import read_events_page


async def test_an_event_that_commits_late_is_not_skipped(
    client: TestClientProtocol,
    sql: Sql,
    database_url: str,
    worker_url_of_database: str,
) -> None:
    """While an open transaction holds a smaller id, no later event is shown."""
    await settle_four(sql, worker_url_of_database)
    first, second = await add_simple(sql, 2)
    before = await read_events_page(client)
    late = await asyncpg.connect(database_url)
    try:
        await late.execute("BEGIN")
        jobs = [await die(connection, one) for connection, one in ((late, first), (sql, second))]
        held = await read_events_page(client, after=before["nextAfter"])
        assert held["events"] == []
        answer = await client.get("/events?after=latest")
        assert answer.status_code == 503
        assert (await answer.get_json())["code"] == "events_not_final"
        reading = asyncio.create_task(read_events_page(client, after=held["nextAfter"]))
        await asyncio.sleep(0.1)
        await late.execute("COMMIT")
    finally:
        await late.close()
    assert [event["data"]["jobId"] for event in (await reading)["events"]] == jobs


async def test_positions_do_not_show_whether_others_have_events(
    client: TestClientProtocol, sql: Sql, worker_url_of_database: str
) -> None:
    """A reader that polls must not see by its cursors how often the log grows."""
    await settle_four(sql, worker_url_of_database)
    cursors = [(await read_events_page(client, after="latest"))["nextAfter"] for _ in range(2)]
    cursors += [(await read_events_page(client, after=cursors[0]))["nextAfter"] for _ in range(2)]
    parts = [[cursor[:12], cursor[12:28], cursor[28:]] for cursor in cursors]
    assert all(len(set(part)) == len(cursors) for part in zip(*parts, strict=True))
    for cursor in cursors:
        assert (await read_events_page(client, after=cursor))["events"] == []


async def test_readers_see_each_event_once_while_writers_race(
    client: TestClientProtocol, sql: Sql, database_url: str, worker_url_of_database: str
) -> None:
    await settle_four(sql, worker_url_of_database)
    start = (await read_events_page(client, after="latest"))["nextAfter"]
    writers, each = 6, 15
    doomed = await add_simple(sql, writers * each)

    async def write(writer: int) -> None:
        connection = await asyncpg.connect(database_url)
        try:
            for number in range(each):
                async with connection.transaction():
                    await die(connection, doomed[writer * each + number])
                    await asyncio.sleep(0.002 * (number % 5))
        finally:
            await connection.close()

    writing = asyncio.gather(*(write(writer) for writer in range(writers)))
    seen: list[int] = []
    while not writing.done() or len(seen) < writers * each:
        page = await read_events_page(client, after=start, limit=7)
        seen += [event["data"]["jobId"] for event in page["events"]]
        start = page["nextAfter"]
        assert len(seen) <= writers * each
    await writing
    in_order = await sql.fetch("SELECT job_id FROM job_deaths ORDER BY id")
    assert seen == [row["job_id"] for row in in_order]


async def test_readers_that_wait_for_a_writer_hold_one_connection_together(
    client: TestClientProtocol, sql: Sql, database_url: str
) -> None:
    await add_payments(sql, [("d", "1", "USD")])
    ended: list[str] = []

    async def get(path: str) -> None:
        assert (await client.get(path)).status_code == 200
        ended.append(path)

    writer = await asyncpg.connect(database_url)
    try:
        await writer.execute("BEGIN; LOCK TABLE job_deaths IN ROW EXCLUSIVE MODE")
        polls = [asyncio.create_task(get("/events")) for _ in range(40)]
        await asyncio.sleep(0.2)
        await get("/payments")
        await asyncio.gather(*polls)
    finally:
        await writer.close()
    assert ended == ["/payments", *["/events"] * 40]
