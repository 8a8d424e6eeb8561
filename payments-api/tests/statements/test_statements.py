"""Statements over HTTP: receive, list, read lines, decide; each tenant sees its own."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api.auth.keys import KeyGrant, add_key, new_key
from payments_api.statements.routes import BYTES_MAX
from payments_core.db.engine import transaction
from recon_worker.statements.importing.claim import ATTEMPTS_MAX
from recon_worker.statements.importing.load import import_next
from testkit.camt_files import ACCOUNT, Day, Entry, camt053
from testkit.database.sql import Sql
from testkit.paging import read_both_ways

DATA = camt053(Day([Entry("20.00", end_to_end="INV-1"), Entry("-5.50"), Entry("1.00")]))
BROKEN = camt053(Day([Entry("20.00")], closing="120.01"))
SOURCE = {"name": "bank-eur", "accountIdentifier": ACCOUNT, "currency": "EUR"}
REASON = {"reason": "the bank confirms it", "actor": "ada"}


@pytest.fixture
async def source(client: TestClientProtocol) -> str:
    """Create a source for the account in testkit's files."""
    answer = await client.post("/sources", json=SOURCE)
    assert answer.status_code == 201
    return "bank-eur"


async def _upload(client: Any, data: bytes, source: str, **options: Any) -> Any:
    return await client.post(f"/statements?source={source}&fileName=day.xml", data=data, **options)


async def test_a_file_is_received_imported_and_shown(
    client: TestClientProtocol, source: str, engine: AsyncEngine
) -> None:
    answer = await _upload(client, DATA, source)
    received = await answer.get_json()
    assert answer.status_code == 202
    assert (received["status"], received["source"], received["fileName"]) == (
        *("received", "bank-eur", "day.xml"),
    )
    address = answer.headers["Location"]
    assert address == f"/statements/{received['id']}"
    assert (await import_next(engine)) is not None
    shown = await (await client.get(address)).get_json()
    assert (shown["status"], shown["format"]) == ("accepted", "camt.053.001.08")
    statement = shown["statements"][0]
    assert (statement["opening"], statement["closing"], statement["lineCount"]) == (
        *("100.00", "115.50", 3),
    )

    async def page_of_lines(at: str) -> Any:
        return await (await client.get(f"{address}/lines?limit=2{at}")).get_json()

    lines = await read_both_ways(page_of_lines, "lines")
    assert [(line["amount"], line["endToEnd"], line["status"]) for line in lines] == [
        ("20.00", "INV-1", "unmatched"),
        ("-5.50", None, "unmatched"),
        ("1.00", None, "unmatched"),
    ]


async def test_the_same_bytes_again_return_the_existing_file(
    client: TestClientProtocol, source: str, sql: Sql
) -> None:
    first = await _upload(client, DATA, source)
    again = await client.post(f"/statements?source={source}&fileName=other.xml", data=DATA)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.headers["Location"] == first.headers["Location"]
    assert await again.get_json() == await first.get_json()
    assert await sql.fetchval("SELECT count(*) FROM statement_files") == 1
    assert await sql.fetchval("SELECT count(*) FROM statement_uploads") == 0


async def test_a_file_of_many_chunks_keeps_its_bytes(
    client: TestClientProtocol, source: str, sql: Sql
) -> None:
    data = bytes(range(256)) * 20_000  # 5 MB: far above the limit of other bodies.
    answer = await _upload(client, data, source)
    assert answer.status_code == 202
    assert (await answer.get_json())["sizeBytes"] == len(data)
    assert await sql.fetchval("SELECT sum(size_bytes) FROM statement_file_chunks") == len(data)
    assert await sql.fetchval("SELECT count(*) FROM statement_file_chunks") == 5


async def test_a_file_beyond_the_limit_leaves_nothing(
    app: Quart, client: TestClientProtocol, source: str, sql: Sql
) -> None:
    app.config[BYTES_MAX] = 2_000_000
    answer = await _upload(client, bytes(2_000_001), source)
    assert (answer.status_code, (await answer.get_json())["code"]) == (413, "payload_too_large")
    for table in ("statement_files", "statement_file_chunks", "statement_uploads"):
        assert await sql.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_an_interrupted_body_leaves_nothing(
    app: Quart, client: TestClientProtocol, source: str, sql: Sql
) -> None:
    path = f"/statements?source={source}"
    async with app.test_client().request(path, method="POST") as connection:
        await connection.send(bytes(3_000_000))
        await connection.disconnect()
    for table in ("statement_files", "statement_file_chunks", "statement_uploads"):
        assert await sql.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_an_operator_decides_a_file_whose_balances_do_not_add_up(
    client: TestClientProtocol, source: str, engine: AsyncEngine, sql: Sql
) -> None:
    address = (await _upload(client, BROKEN, source)).headers["Location"]
    answer = await client.post(f"{address}/accept", json=REASON)
    assert (await answer.get_json())["code"] == "statement_not_quarantined"
    assert answer.status_code == 409
    await import_next(engine)
    listed = await (await client.get("/statements?status=quarantined")).get_json()
    assert [file["problemCode"] for file in listed["statements"]] == ["balance"]
    assert "0.01 is not explained" in listed["statements"][0]["problem"]
    assert (await client.post(f"{address}/accept", json={"actor": "ada"})).status_code == 422
    answer = await client.post(f"{address}/accept", json=REASON)
    told = await answer.get_json()
    assert (answer.status_code, told["status"], told["acceptedBy"]) == (202, "received", "ada")
    await import_next(engine)
    assert (await (await client.get(address)).get_json())["status"] == "accepted"
    assert await sql.fetchval("SELECT count(*) FROM statement_lines") == 1
    actions = await (await client.get("/operator-actions?action=accept_statement")).get_json()
    assert [each["actor"] for each in actions["actions"]] == ["ada"]


async def test_an_unreadable_file_cannot_be_accepted(
    client: TestClientProtocol, source: str, engine: AsyncEngine
) -> None:
    address = (await _upload(client, b"Dear customer", source)).headers["Location"]
    await import_next(engine)
    answer = await client.post(f"{address}/accept", json=REASON)
    assert answer.status_code == 409
    assert (await answer.get_json())["code"] == "statement_not_acceptable"
    answer = await client.post(f"{address}/reject", json=REASON)
    assert (answer.status_code, (await answer.get_json())["status"]) == (200, "rejected")


async def test_a_file_whose_import_never_ended_is_tried_again(
    client: TestClientProtocol, source: str, engine: AsyncEngine, sql: Sql
) -> None:
    address = (await _upload(client, DATA, source)).headers["Location"]
    await sql.execute("UPDATE statement_files SET attempts = $1", ATTEMPTS_MAX)
    await import_next(engine)
    assert (await (await client.get(address)).get_json())["problemCode"] == "unfinished"
    told = await (await client.post(f"{address}/accept", json=REASON)).get_json()
    assert (told["status"], told["acceptedBy"]) == ("received", None)
    await import_next(engine)
    assert (await (await client.get(address)).get_json())["status"] == "accepted"


UNKNOWN = "01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e3f"
WRONG = [
    ("POST", "/statements", 422, "validation_error"),
    ("POST", "/statements?source=nowhere", 404, "source_not_found"),
    ("POST", "/statements?source=bank-eur", 422, "validation_error"),  # An empty body.
    ("GET", "/statements?source=nowhere", 404, "source_not_found"),
    ("GET", "/statements?status=lost", 422, "validation_error"),
    ("GET", f"/statements/{UNKNOWN}", 404, "statement_not_found"),
    ("GET", "/statements/7", 404, "statement_not_found"),
    ("GET", f"/statements/{UNKNOWN}/lines", 404, "statement_not_found"),
]


@pytest.mark.parametrize(("method", "path", "status", "code"), WRONG)
async def test_an_invalid_request_names_its_fault(
    client: TestClientProtocol, source: str, method: str, path: str, status: int, code: str
) -> None:
    ask = client.post if method == "POST" else client.get
    answer = await ask(path)
    assert (answer.status_code, (await answer.get_json())["code"]) == (status, code)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Bank"),
        ("currency", "XXX"),
        ("accountIdentifier", " "),
        ("timeZone", "Mars/Base"),
        ("graceDays", -1),
        ("format", "csv"),  # Without a profile.
        ("unknown", 1),
    ],
)
async def test_an_invalid_source_is_rejected(
    client: TestClientProtocol, sql: Sql, field: str, value: object
) -> None:
    answer = await client.post("/sources", json={**SOURCE, field: value})
    assert (answer.status_code, (await answer.get_json())["code"]) == (422, "validation_error")
    assert await sql.fetchval("SELECT count(*) FROM recon_sources") == 0


async def test_a_source_has_one_name(client: TestClientProtocol, source: str) -> None:
    answer = await client.post("/sources", json=SOURCE)
    assert (answer.status_code, (await answer.get_json())["code"]) == (409, "source_exists")


@pytest.fixture
async def acme_and_blue(
    kept: Quart, engine: AsyncEngine, database_url: str
) -> AsyncIterator[tuple[dict[str, str], dict[str, str], dict[str, str]]]:
    """Return the headers of three keys: of two tenants, and of one without a tenant."""
    from payments_core.db.engine import create_engine

    owner = create_engine(database_url, application_name="test", pool_size=1)
    headers = []
    for tenant in ("acme", "blue", None):
        key = new_key()
        async with transaction(owner) as tx:
            scopes = frozenset({"recon:read", "recon:write"})
            await add_key(tx, key, KeyGrant("of a test", scopes, tenant))
        headers.append({"Authorization": f"Bearer {key}"})
    yield headers[0], headers[1], headers[2]
    await owner.dispose()


async def test_a_tenant_sees_only_its_own_sources_and_files(
    kept: Quart, acme_and_blue: tuple[dict[str, str], ...], engine: AsyncEngine
) -> None:
    acme, blue, all_of_them = acme_and_blue
    client = kept.test_client()
    for headers in (acme, blue):
        assert (await client.post("/sources", json=SOURCE, headers=headers)).status_code == 201
    answer = await _upload(client, BROKEN, "bank-eur", headers=acme)
    assert answer.status_code == 202
    address = answer.headers["Location"]
    await import_next(engine)
    for path in (address, f"{address}/lines"):
        assert (await client.get(path, headers=acme)).status_code == 200
        assert (await client.get(path, headers=blue)).status_code == 404
    for act in ("accept", "reject"):
        told = await client.post(f"{address}/{act}", json=REASON, headers=blue)
        assert told.status_code == 404
    listed = await (await client.get("/statements", headers=blue)).get_json()
    assert listed["statements"] == []

    async def sources_at(at: str) -> Any:
        answer = await client.get(f"/sources?limit=1{at}", headers=all_of_them)
        return await answer.get_json()

    assert len(await read_both_ways(sources_at, "sources", "name")) > 1
    mine = await (await client.get("/sources", headers=blue)).get_json()
    assert [each["name"] for each in mine["sources"]] == ["bank-eur"]
    everyone = await (await client.get("/sources", headers=all_of_them)).get_json()
    assert {each["name"] for each in everyone["sources"]} == {"acme~bank-eur", "blue~bank-eur"}
    narrowed = await client.get("/statements?source=acme~bank-eur", headers=all_of_them)
    assert len((await narrowed.get_json())["statements"]) == 1
    assert (await client.get("/statements?source=acme~bank-eur", headers=blue)).status_code == 404


async def test_each_route_needs_its_scope(kept: Quart, database_url: str) -> None:
    from payments_core.db.engine import create_engine

    owner = create_engine(database_url, application_name="test", pool_size=1)
    key = new_key()
    async with transaction(owner) as tx:
        await add_key(tx, key, KeyGrant("reader", frozenset({"recon:read"}), None))
    await owner.dispose()
    client, headers = kept.test_client(), {"Authorization": f"Bearer {key}"}
    assert (await client.get("/statements", headers=headers)).status_code == 200
    assert (await client.post("/sources", json=SOURCE, headers=headers)).status_code == 403
    assert (await _upload(client, DATA, "bank-eur", headers=headers)).status_code == 403
