"""Hostile sources and uploads: refused by their name, never with an internal error."""

import asyncio
import json
from typing import Any

import pytest
from quart.typing import TestClientProtocol

from payments_api.http.errors import Overloaded
from payments_api.statements.upload import UPLOADS_MAX, UPLOADS_OF_ONE_MAX, place_for
from testkit.camt_files import ACCOUNT
from testkit.database.sql import Sql
from testkit.statements import csv_profile

SOURCE = {"name": "bank-eur", "accountIdentifier": ACCOUNT, "currency": "EUR"}
PROFILE = csv_profile(skip_rows=3, last_line_break=False)
NESTED: dict[str, Any] = {"a": {"b": {"c": {"d": {"e": {}}}}}}


async def _refusal(client: TestClientProtocol, **changes: Any) -> tuple[int, str]:
    answer = await client.post("/sources", data=json.dumps({**SOURCE, **changes}), **JSON)
    told = await answer.get_json()
    return answer.status_code, told["errors"][0]["field"] if "errors" in told else told["code"]


JSON: dict[str, Any] = {"headers": {"Content-Type": "application/json"}}


async def test_a_profile_with_numbers_is_stored_as_written(
    client: TestClientProtocol, sql: Sql
) -> None:
    answer = await client.post("/sources", json={**SOURCE, "format": "csv", "profile": PROFILE})
    assert answer.status_code == 201
    assert (await answer.get_json())["profile"] == PROFILE
    assert json.loads(await sql.fetchval("SELECT profile FROM recon_sources")) == PROFILE


@pytest.mark.parametrize(
    "profile",
    [
        {"quote": "\0"},
        {"\0": 1},
        {"quote": "\ud800"},
        {"\ud800": 1},
        {"skip_rows": 1.5},
        {"skip_rows": 1e308},
        {"skip_rows": 10**9},
        {"quote": "é" * 9_000},
        NESTED,
    ],
    ids=repr,
)
async def test_a_profile_that_postgres_cannot_hold_is_refused(
    client: TestClientProtocol, profile: dict[str, Any]
) -> None:
    assert await _refusal(client, format="csv", profile=profile) == (422, "profile")


async def test_a_profile_that_no_file_can_be_read_by_is_refused_with_every_problem(
    client: TestClientProtocol, sql: Sql
) -> None:
    wrong = csv_profile(delimiter="xx", date_format="%d", encoding=None)
    answer = await client.post("/sources", json={**SOURCE, "format": "csv", "profile": wrong})
    [error] = (await answer.get_json())["errors"]
    assert (answer.status_code, error["field"]) == (422, "profile")
    assert "delimiter" in error["detail"]
    assert await _refusal(client, format="camt", profile={"delimiter": ";"}) == (422, "profile")
    assert await sql.fetchval("SELECT count(*) FROM recon_sources") == 0


@pytest.mark.parametrize("zone", ["right/UTC", "../UTC", "Nowhere/Here", "\0"])
async def test_a_time_zone_that_postgres_does_not_know_is_refused(
    client: TestClientProtocol, zone: str
) -> None:
    assert await _refusal(client, timeZone=zone) == (422, "timeZone")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Encoding": "gzip"},
        {"Content-Type": "multipart/form-data; boundary=x"},
    ],
    ids=str,
)
async def test_a_body_that_is_not_the_files_bytes_is_refused(
    client: TestClientProtocol, sql: Sql, headers: dict[str, str]
) -> None:
    assert (await client.post("/sources", json=SOURCE)).status_code == 201
    answer = await client.post("/statements?source=bank-eur", data=b"x", headers=headers)
    assert answer.status_code == 415
    assert await sql.fetchval("SELECT count(*) FROM statement_files") == 0


async def test_a_slow_tenant_leaves_places_for_others() -> None:
    release = asyncio.Event()

    async def upload(tenant: str | None) -> None:
        with place_for(tenant):
            await release.wait()

    tenants = ["slow"] * UPLOADS_OF_ONE_MAX + ["other"] * (UPLOADS_MAX - UPLOADS_OF_ONE_MAX)
    for tenant in ("slow", "third"):
        held = [asyncio.create_task(upload(each)) for each in tenants]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded), place_for(tenant):
            pass
        held.pop().cancel()
        await asyncio.sleep(0)
        with pytest.raises(Overloaded), place_for("slow"):
            pass
        with place_for("third"):
            pass
        release.set()
        await asyncio.gather(*held)
        release.clear()
