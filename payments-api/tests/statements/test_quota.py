"""The quota of uploads: one tenant cannot fill the disk in a day, nor use up another's part."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api.statements.routes import QUOTA
from payments_core.audit_log import Operator
from payments_core.db.engine import transaction
from payments_core.domain.ids import first_id_at
from payments_core.statements import receive
from payments_core.statements.quota import Quota
from payments_core.statements.sources import NewSource, add_source
from testkit.camt_files import ACCOUNT
from testkit.database.sql import Sql
from testkit.waiting import until

SOURCE = {"name": "bank-eur", "accountIdentifier": ACCOUNT, "currency": "EUR"}
OTHER_SOURCE = {**SOURCE, "name": "bank-two", "channel": "two"}
OF_UPLOADS = ("statement_files", "statement_file_chunks", "statement_uploads")


@pytest.fixture
async def source(app: Quart, client: TestClientProtocol) -> None:
    """Create two sources of no tenant, which may send 100 bytes or three files within a day."""
    app.config[QUOTA] = Quota(bytes_max=100, files_max=3)
    for each in (SOURCE, OTHER_SOURCE):
        assert (await client.post("/sources", json=each)).status_code == 201


async def _send(client: Any, data: bytes, source: str = "bank-eur") -> Any:
    return await client.post(f"/statements?source={source}", data=data)


async def _refused(answer: Any) -> bool:
    code = (await answer.get_json())["code"]
    return bool(answer.status_code == 429 and code == "too_many_statements")


@pytest.mark.usefixtures("source")
async def test_bytes_beyond_the_quota_are_refused_and_not_kept(
    client: TestClientProtocol, sql: Sql
) -> None:
    assert (await _send(client, b"a" * 60)).status_code == 202
    answer = await _send(client, b"b" * 41, "bank-two")
    assert await _refused(answer)
    assert int(answer.headers["Retry-After"]) > 0
    assert "100 bytes" in (await answer.get_json())["detail"]
    counts = [await sql.fetchval(f"SELECT count(*) FROM {table}") for table in OF_UPLOADS]
    assert counts == [1, 1, 0]
    assert (await _send(client, b"b" * 40, "bank-two")).status_code == 202
    assert await _refused(await _send(client, b"c"))


@pytest.mark.usefixtures("source")
async def test_small_files_have_a_quota_too(client: TestClientProtocol) -> None:
    for data in (b"a", b"b", b"c"):
        assert (await _send(client, data)).status_code == 202
    assert await _refused(await _send(client, b"d"))


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize(("hours", "status"), [(23, 429), (25, 202)])
async def test_a_day_later_the_tenant_may_go_on(
    client: TestClientProtocol, sql: Sql, hours: int, status: int
) -> None:
    await sql.execute(
        "INSERT INTO statement_files (id, source_id, sha256, chunks_sha256, size_bytes, actor)"
        " SELECT $1, min(id), sha256('x'), sha256('x'), 100, 'ann' FROM recon_sources",
        first_id_at(datetime.now(UTC), -timedelta(hours=hours)),
    )
    assert (await _send(client, b"b" * 100)).status_code == status


@pytest.mark.usefixtures("source")
async def test_known_bytes_need_no_quota_when_they_fit(client: TestClientProtocol) -> None:
    assert (await _send(client, b"a" * 50)).status_code == 202
    assert (await _send(client, b"a" * 50)).status_code == 200
    assert (await _send(client, b"b" * 50)).status_code == 202


@pytest.mark.usefixtures("source")
async def test_of_two_uploads_that_end_together_one_exceeds_the_quota(
    client: TestClientProtocol, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = asyncio.Barrier(2)
    checked = 0
    real_complete, real_check = receive._complete, Quota.check

    async def complete(*arguments: Any) -> Any:
        completed = await real_complete(*arguments)
        await stored.wait()  # Neither has committed.
        return completed

    async def other_is_past_or_waits() -> bool:
        waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
        return checked == 2 or bool(await sql.fetchval(waiting))

    async def check(*arguments: Any) -> None:
        nonlocal checked
        await real_check(*arguments)
        checked += 1
        await until(other_is_past_or_waits)  # Commits only then.

    monkeypatch.setattr(receive, "_complete", complete)
    monkeypatch.setattr(Quota, "check", check)
    answers = await asyncio.gather(_send(client, b"a" * 60), _send(client, b"b" * 60, "bank-two"))
    assert sorted(answer.status_code for answer in answers) == [202, 429]
    counts = [await sql.fetchval(f"SELECT count(*) FROM {table}") for table in OF_UPLOADS]
    assert counts == [1, 1, 0]


@pytest.mark.usefixtures("source")
async def test_each_tenant_has_its_own_quota(
    client: TestClientProtocol, engine: AsyncEngine
) -> None:
    async with transaction(engine) as tx:
        acme = NewSource("bank-eur", ACCOUNT, "EUR", tenant="acme")
        await add_source(tx, acme, Operator("ada"))
    assert (await _send(client, b"a" * 100)).status_code == 202
    assert (await _send(client, b"a" * 100, "acme~bank-eur")).status_code == 202
    assert await _refused(await _send(client, b"b", "acme~bank-eur"))
