"""GET /events: every settlement and dead letter once, in one order, even if it commits late."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import asyncpg
import pytest
from quart import Quart
from quart.typing import TestClientProtocol
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api.auth.keys import KeyGrant, add_key, new_key
from payments_api.http.errors import InvalidCursor
from payments_api.http.pagination import CursorSigner
from payments_core.db import event_log as log
from payments_core.db.engine import create_engine, single_statement, transaction
from payments_core.queue.jobs import ClaimedJob, claim, new_lease, retry_or_bury
from payments_core.queue.maintenance import DEATHS_KEPT_DAYS, prune_deaths, rescue_expired
from testkit.database.backlog import Sql, add_payments
from testkit.database.reversals import add_reversal
from testkit.database.settled_ledger import FAST, settle_four, until_all_settled
from testkit.worker.own_system import running_worker

ROOT = Path(__file__).parents[3]
ENTRY = "SELECT account_seq FROM ledger_entries WHERE"


async def _events(client: TestClientProtocol, status: int = 200, **query: Any) -> Any:
    answer = await client.get(f"/events?{urlencode(query)}")
    body = await answer.get_json()
    assert answer.status_code == status, body
    return body


async def _all_events(client: TestClientProtocol, limit: int) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    page = await _events(client, limit=limit)
    for _ in range(1_000):
        events += page["events"]
        if not page["hasMore"]:
            return events
        page = await _events(client, limit=limit, after=page["nextAfter"])
    raise AssertionError("the list does not end")


async def _bury_one(sql: Sql, engine: AsyncEngine) -> UUID:
    """Let a payment's job become a dead letter; return the payment's id."""
    await add_payments(sql, [("d", "1", "USD")])
    return (await _bury(sql, engine)).payment_id


async def _bury(sql: Sql, engine: AsyncEngine) -> ClaimedJob:
    """Let the only pending job fail in its last attempt."""
    await sql.execute("UPDATE recon_jobs SET max_attempts = 1 WHERE status = 'pending'")
    lease = new_lease("w", 60)
    async with single_statement(engine) as connection:
        [job] = await claim(connection, lease, 1)
        assert await retry_or_bury(connection, lease, job, "boom") == "failed"
    return job


async def test_every_settlement_is_an_event_in_its_order(
    client: TestClientProtocol, sql: Sql, worker_url_of_database: str
) -> None:
    await settle_four(sql, worker_url_of_database)
    page = await _events(client)
    assert [event["type"] for event in page["events"]] == [
        *["payment.completed"] * 3,
        "payment.failed",
    ]
    assert page["hasMore"] is False
    for event in page["events"]:
        payment = await (await client.get(f"/payments/{event['data']['id']}")).get_json()
        assert event["id"] == "evt_" + payment["id"].replace("-", "")
        data = dict(event["data"])
        outcome = data.pop("reconciliation")
        assert data.pop("accountSeq") == await sql.fetchval(
            f"{ENTRY} entry_type = 'payment' AND payment_id = $1", payment["id"]
        )
        assert data == {name: payment[name] for name in data}
        assert outcome == {name: payment["reconciliation"][name] for name in outcome}
        assert event["createdAt"] == payment["reconciliation"]["createdAt"]


async def test_reversals_are_events_of_the_same_log(
    client: TestClientProtocol, sql: Sql, engine: AsyncEngine, worker_url_of_database: str
) -> None:
    first, *_ = await settle_four(sql, worker_url_of_database)
    position = (await _events(client, after="latest"))["nextAfter"]
    completed = await add_reversal(sql, first, "1")
    async with running_worker(worker_url_of_database, **FAST):
        await until_all_settled(sql)
    discarded = await add_reversal(sql, first, "2")
    dead = await _bury(sql, engine)
    assert dead.reversal_id == discarded
    body = {"actor": "ann", "reason": "by mistake"}
    assert (await client.post(f"/jobs/{dead.id}/discard", json=body)).status_code == 200
    events = (await _events(client, after=position))["events"]
    assert [event["type"] for event in events] == [
        *("reversal.completed", "job.dead", "reversal.failed"),
    ]
    death = events[1]["data"]
    assert (death["paymentId"], death["reversalId"], death["attempts"]) == (
        *(str(first.id), str(discarded), 1),
    )
    for event, reversal_id in ((events[0], completed), (events[2], discarded)):
        reversal = await (await client.get(f"/reversals/{reversal_id}")).get_json()
        assert event["id"] == f"evt_{reversal_id.hex}"
        data = dict(event["data"])
        outcome = data.pop("reconciliation")
        assert data.pop("accountSeq") == await sql.fetchval(
            f"{ENTRY} entry_type = 'reversal' AND reversal_id = $1", reversal_id
        )
        assert data == {name: reversal[name] for name in data}
        assert outcome["notes"] == reversal["notes"]
    for event in events:
        assert (await _events(client, after=position, types=event["type"]))["events"] == [event]


@pytest.mark.parametrize("limit", [1, 2, 3, 200])
async def test_pages_of_any_size_list_the_same_events(
    client: TestClientProtocol, sql: Sql, worker_url_of_database: str, limit: int
) -> None:
    await settle_four(sql, worker_url_of_database)
    whole = (await _events(client, limit=200))["events"]
    assert await _all_events(client, limit) == whole
    assert len(whole) == 4


async def test_a_reader_continues_where_it_stopped(
    client: TestClientProtocol, sql: Sql, engine: AsyncEngine, worker_url_of_database: str
) -> None:
    empty = await _events(client)
    assert empty["events"] == []
    await settle_four(sql, worker_url_of_database)
    page = await _events(client, after=empty["nextAfter"])
    assert len(page["events"]) == 4
    latest = await _events(client, after="latest")
    assert latest["events"] == []
    payment_id = await _bury_one(sql, engine)
    for after in (page["nextAfter"], latest["nextAfter"]):
        [event] = (await _events(client, after=after))["events"]
        assert event["type"] == "job.dead"
        assert event["data"]["paymentId"] == str(payment_id)
        assert event["data"]["attempts"] == 1


async def test_events_of_one_type_can_be_listed(
    client: TestClientProtocol, sql: Sql, engine: AsyncEngine, worker_url_of_database: str
) -> None:
    await settle_four(sql, worker_url_of_database)
    await _bury_one(sql, engine)
    for name, count in (("payment.completed", 3), ("payment.failed", 1), ("job.dead", 1)):
        events = (await _events(client, types=name))["events"]
        assert [event["type"] for event in events] == [name] * count
    assert len((await _events(client, types="job.dead,payment.failed"))["events"]) == 2


async def test_a_page_without_a_match_advances_the_cursor(
    client: TestClientProtocol,
    sql: Sql,
    worker_url_of_database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await settle_four(sql, worker_url_of_database)
    monkeypatch.setattr(log, "SCANNED_EVENTS_MAX", 2)
    page = await _events(client, types="payment.failed")
    assert (page["events"], page["hasMore"]) == ([], True)
    page = await _events(client, types="payment.failed", after=page["nextAfter"])
    assert [event["type"] for event in page["events"]] == ["payment.failed"]


async def test_an_event_that_commits_late_is_not_skipped(
    client: TestClientProtocol,
    sql: Sql,
    database_url: str,
    worker_url_of_database: str,
) -> None:
    """While an open transaction holds a smaller id, no later event is shown."""
    await settle_four(sql, worker_url_of_database)
    before = await _events(client)
    late = await asyncpg.connect(database_url)
    try:
        await late.execute("BEGIN")
        await late.execute(
            "INSERT INTO job_deaths (job_id, payment_id, attempts)"
            " SELECT 1, id, 1 FROM payments LIMIT 1"
        )
        await sql.execute(
            "INSERT INTO job_deaths (job_id, payment_id, attempts)"
            " SELECT 2, id, 1 FROM payments LIMIT 1"
        )
        held = await _events(client, after=before["nextAfter"])
        assert held["events"] == []
        answer = await client.get("/events?after=latest")
        assert answer.status_code == 503
        assert (await answer.get_json())["code"] == "events_not_final"
        reading = asyncio.create_task(_events(client, after=held["nextAfter"]))
        await asyncio.sleep(0.1)
        await late.execute("COMMIT")
    finally:
        await late.close()
    assert [event["data"]["jobId"] for event in (await reading)["events"]] == [1, 2]


async def test_positions_do_not_show_whether_others_have_events(
    client: TestClientProtocol, sql: Sql, worker_url_of_database: str
) -> None:
    """A reader that polls must not see by its cursors how often the log grows."""
    await settle_four(sql, worker_url_of_database)
    cursors = [(await _events(client, after="latest"))["nextAfter"] for _ in range(2)]
    cursors += [(await _events(client, after=cursors[0]))["nextAfter"] for _ in range(2)]
    parts = [[cursor[:12], cursor[12:28], cursor[28:]] for cursor in cursors]
    assert all(len(set(part)) == len(cursors) for part in zip(*parts, strict=True))
    for cursor in cursors:
        assert (await _events(client, after=cursor))["events"] == []


async def test_readers_see_each_event_once_while_writers_race(
    client: TestClientProtocol, sql: Sql, database_url: str, worker_url_of_database: str
) -> None:
    await settle_four(sql, worker_url_of_database)
    start = (await _events(client, after="latest"))["nextAfter"]
    writers, each = 6, 15

    async def write(writer: int) -> None:
        connection = await asyncpg.connect(database_url)
        try:
            for number in range(each):
                async with connection.transaction():
                    await connection.execute(
                        "INSERT INTO job_deaths (job_id, payment_id, attempts)"
                        " SELECT $1, id, 1 FROM payments LIMIT 1",
                        writer * each + number,
                    )
                    await asyncio.sleep(0.002 * (number % 5))
        finally:
            await connection.close()

    writing = asyncio.gather(*(write(writer) for writer in range(writers)))
    seen: list[int] = []
    while not writing.done() or len(seen) < writers * each:
        page = await _events(client, after=start, limit=7)
        seen += [event["data"]["jobId"] for event in page["events"]]
        start = page["nextAfter"]
        assert len(seen) <= writers * each
    await writing
    in_order = await sql.fetch("SELECT job_id FROM job_deaths ORDER BY id")
    assert seen == [row["job_id"] for row in in_order]


async def test_a_job_whose_last_lease_expires_is_an_event(
    client: TestClientProtocol, sql: Sql, engine: AsyncEngine
) -> None:
    await client.post("/payments", json={"accountId": "a", "amount": 1}, headers=_key("k"))
    await sql.execute("UPDATE recon_jobs SET max_attempts = 1")
    async with single_statement(engine) as connection:
        await claim(connection, new_lease("w", -1), 1)
        assert await rescue_expired(connection) == (0, 1)
    [event] = (await _events(client))["events"]
    assert event["type"] == "job.dead"


async def test_a_retry_is_not_an_event(client: TestClientProtocol, engine: AsyncEngine) -> None:
    await client.post("/payments", json={"accountId": "a", "amount": 1}, headers=_key("k"))
    async with single_statement(engine) as connection:
        lease = new_lease("w", 60)
        [job] = await claim(connection, lease, 1)
        assert await retry_or_bury(connection, lease, job, "boom") == "pending"
    assert (await _events(client))["events"] == []


async def test_only_dead_letter_events_past_retention_are_pruned(
    client: TestClientProtocol, sql: Sql, engine: AsyncEngine
) -> None:
    for _ in range(2):
        await _bury_one(sql, engine)
    await sql.execute(
        "UPDATE job_deaths SET created_at = now() - make_interval(days => $1, mins => 1)"
        " WHERE id = (SELECT min(id) FROM job_deaths)",
        DEATHS_KEPT_DAYS,
    )
    async with single_statement(engine) as connection:
        assert [await prune_deaths(connection), await prune_deaths(connection)] == [1, 0]
    assert len((await _events(client))["events"]) == 1


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


async def test_only_its_tenant_sees_the_event_of_a_disabled_webhook(
    sql: Sql, engine: AsyncEngine
) -> None:
    insert = (
        "WITH endpoint AS (INSERT INTO webhook_endpoints (id, url, tenant)"
        " VALUES (gen_random_uuid(), 'https://hooks.example.com', $1) RETURNING id)"
        " INSERT INTO webhook_disablings (endpoint_id, reason) SELECT id, 'gone' FROM endpoint"
    )
    for owner in ("blue", "bluest", None):
        await sql.execute(insert, owner)
    seen = {}
    async with single_statement(engine) as connection:
        last = await log.last_final_position(connection, 0)
        for tenant in ("blue", "bluest", "green", None):
            page = await log.read_events(connection, 0, last, 10, tenant=tenant)
            events = [log.event_json(row, tenant) for row in page.rows]
            assert {event["type"] for event in events} <= {"webhook.disabled"}
            seen[tenant] = [(row.tenant, row.notes) for row in page.rows]
    assert seen == {
        "blue": [("blue", "gone")],
        "bluest": [("bluest", "gone")],
        "green": [],
        None: [("blue", "gone"), ("bluest", "gone"), (None, "gone")],
    }


async def test_a_tenant_learns_neither_others_events_nor_their_number(
    kept: Quart, database_url: str, start_worker: Callable[..., Any]
) -> None:
    owner = create_engine(database_url, application_name="test", pool_size=1)
    headers = {}
    for tenant in ("blue", "green", None):
        key = new_key()
        async with transaction(owner) as tx:
            scopes = frozenset({"payments:write", "events:read"})
            await add_key(tx, key, KeyGrant("of a test", scopes, tenant))
        headers[tenant] = {"Authorization": f"Bearer {key}"}
    await owner.dispose()
    client = kept.test_client()
    for tenant, count in (("blue", 3), ("green", 2)):
        for number in range(count):
            await client.post(
                "/payments",
                json={"accountId": "a", "amount": 1},
                headers={**headers[tenant], **_key(f"k{number}")},
            )
    await start_worker()
    for tenant, count in (("blue", 3), ("green", 2), (None, 5)):
        events: list[Any] = []
        after: dict[str, str] = {}
        while len(events) < count:
            answer = await client.get(f"/events?{urlencode(after)}", headers=headers[tenant])
            page = await answer.get_json()
            assert answer.status_code == 200, page
            events += page["events"]
            after = {"after": page["nextAfter"]}
        accounts = {event["data"]["accountId"] for event in events}
        assert accounts == ({"a"} if tenant else {"blue~a", "green~a"})
        assert len({event["id"] for event in events}) == count
    # Another tenant's cursor is rejected.
    answer = await client.get(f"/events?{urlencode(after)}", headers=headers["blue"])
    assert answer.status_code == 400


BAD_QUERIES = [
    # query, status, code
    ({"after": "x"}, 400, "invalid_cursor"),
    ({"after": ""}, 400, "invalid_cursor"),
    ({"after": "é"}, 400, "invalid_cursor"),
    ({"after": "A" * 32}, 400, "invalid_cursor"),
    ({"after": "LATEST"}, 400, "invalid_cursor"),
    ({"types": ""}, 422, "validation_error"),
    ({"types": "payment"}, 422, "validation_error"),
    ({"types": "payment.completed,"}, 422, "validation_error"),
    ({"types": "payment.completed, payment.failed"}, 422, "validation_error"),
    ({"limit": 0}, 422, "validation_error"),
    ({"limit": 201}, 422, "validation_error"),
    ({"cursor": "x"}, 422, "validation_error"),
]


@pytest.mark.parametrize(("query", "status", "code"), BAD_QUERIES)
async def test_a_bad_query_is_rejected(
    client: TestClientProtocol, query: dict[str, Any], status: int, code: str
) -> None:
    assert (await _events(client, status, **query))["code"] == code


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("after=%ff", 400),
        ("after=%ED%A0%80", 400),
        ("after=%00", 422),
        ("after=" + "A" * 5_000, 422),
        ("after=" + "A" * 44, 400),
        ("after=latest&after=latest", 422),
        ("types=payment.completed&types=payment.failed", 422),
        ("types=%00", 422),
        ("types=" + ",".join(["job.dead"] * 50), 200),
        ("types=" + ",".join(["job.dead"] * 300), 422),
        ("limit=%D9%A1", 422),  # A digit of another script.
        ("limit=1e2", 422),
        ("limit=-1", 422),
        ("limit=99999999999999999999", 422),
    ],
)
async def test_any_bytes_of_a_query_get_an_answer(
    client: TestClientProtocol, query: str, status: int
) -> None:
    answer = await client.get(f"/events?{query}")
    assert answer.status_code == status, await answer.get_data()


def test_an_unlinkable_position_is_read_by_its_key_and_scope_alone() -> None:
    signer, scope = CursorSigner("k"), {"list": "events", "tenant": "a"}
    cursor = signer.sign_unlinkable(scope, 7)
    assert signer.read_unlinkable(scope, cursor) == 7
    for foreign in ({"list": "events"}, {"list": "events", "tenant": "b"}, {"list": "payments"}):
        with pytest.raises(InvalidCursor):
            signer.read_unlinkable(foreign, cursor)
    with pytest.raises(InvalidCursor):
        CursorSigner("K").read_unlinkable(scope, cursor)
    for number in range(len(cursor)):
        changed = "A" if cursor[number] != "A" else "B"
        with pytest.raises(InvalidCursor):
            signer.read_unlinkable(scope, cursor[:number] + changed + cursor[number + 1 :])
    with pytest.raises(InvalidCursor):  # The halves of two cursors.
        signer.read_unlinkable(scope, signer.sign_unlinkable(scope, 7)[:12] + cursor[12:])


def test_an_encrypted_position_opens_only_with_its_key_and_scope() -> None:
    signer, scope = CursorSigner("k"), {"list": "events"}
    for position in (0, 1, 12345, 2**63 - 1):
        cursor = signer.sign_hidden(scope, position)
        assert signer.read_hidden(scope, cursor) == position
        for other in (CursorSigner("K"), signer):
            with pytest.raises(InvalidCursor):
                other.read_hidden({"list": "events", "tenant": "a"}, cursor)
        for number in range(len(cursor)):
            changed = "A" if cursor[number] != "A" else "B"
            with pytest.raises(InvalidCursor):
                signer.read_hidden(scope, cursor[:number] + changed + cursor[number + 1 :])
    assert signer.sign_hidden(scope, 1)[22:] != signer.sign_hidden(scope, 2)[22:]


def _key(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}
