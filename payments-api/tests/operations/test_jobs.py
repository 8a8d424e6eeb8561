"""Jobs and dead letters over HTTP: lists, pages, groups."""

import pytest
from quart.typing import TestClientProtocol

from testkit.database.sql import Sql
from testkit.paging import read_both_ways

from .conftest import get_json

ANN = {"actor": "ann", "reason": "the bug is fixed"}


async def test_dead_letters_are_listed_newest_first_and_paged(
    client: TestClientProtocol, dead: list[int]
) -> None:
    page = await get_json(client, "/jobs?limit=3")
    assert [job["id"] for job in page["jobs"]] == sorted(dead)[:0:-1]
    assert {job["status"] for job in page["jobs"]} == {"failed"}
    rest = await get_json(client, f"/jobs?limit=3&cursor={page['nextCursor']}")
    assert [job["id"] for job in rest["jobs"]] == [min(dead)]
    assert rest["nextCursor"] is None
    assert (await get_json(client, "/jobs?status=pending"))["jobs"] == []
    await get_json(client, f"/jobs?status=pending&cursor={page['nextCursor']}", 400)
    await get_json(client, "/jobs?status=dead", 422)


@pytest.mark.parametrize(
    ("query", "number"),
    [("limit=1", 4), ("limit=3", 4), ("limit=1&errorGroup=division+by+zero", 3)],
)
async def test_dead_letters_can_be_paged_forward_and_back(
    client: TestClientProtocol, dead: list[int], query: str, number: int
) -> None:
    found = await read_both_ways(lambda at: get_json(client, f"/jobs?{query}{at}"), "jobs")
    assert [job["id"] for job in found] == sorted(dead[:number], reverse=True)


@pytest.mark.parametrize("at", ["infinity", "-infinity"])
async def test_a_job_with_an_infinite_time_does_not_hide_others(
    client: TestClientProtocol, sql: Sql, dead: list[int], at: str
) -> None:
    """A role that may change a job's time may set it to infinity."""
    await sql.execute(
        "UPDATE recon_jobs SET run_at = $1::text::timestamptz WHERE id = $2", at, dead[0]
    )
    assert {job["id"] for job in (await get_json(client, "/jobs"))["jobs"]} == set(dead)
    job = await get_json(client, f"/jobs/{dead[0]}")
    assert (await get_json(client, f"/payments/{job['paymentId']}"))["job"]["runAt"] == job["runAt"]


async def test_a_job_is_shown_in_any_state(client: TestClientProtocol, dead: list[int]) -> None:
    job = await get_json(client, f"/jobs/{dead[3]}")
    assert (job["status"], job["attempts"], job["lastError"]) == (
        "failed",
        10,
        "timed out at 100%",
    )


@pytest.mark.parametrize(
    "job_id", ["0", "-1", "99999", "x", "1.0", "1e3", str(2**63), "9" * 40, "%D9%A3", "%00"]
)
async def test_an_unknown_or_malformed_job_is_a_404(
    client: TestClientProtocol, dead: list[int], job_id: str
) -> None:
    for answer in (
        await client.get(f"/jobs/{job_id}"),
        await client.post(f"/jobs/{job_id}/replay", json=ANN),
        await client.post(f"/jobs/{job_id}/discard", json=ANN),
    ):
        assert answer.status_code == 404
        assert (await answer.get_json())["code"] == "job_not_found"


async def test_dead_letters_are_grouped_by_error(
    client: TestClientProtocol, sql: Sql, dead: list[int]
) -> None:
    await sql.execute(
        "UPDATE recon_jobs SET last_error = 'no row ' || payment_id || ' at (' || id || ',1)'"
        " WHERE id = ANY ($1::bigint[])",
        dead[:2],
    )
    found = await get_json(client, "/jobs/groups")
    assert not found["incomplete"]
    groups = {group["error"]: group for group in found["groups"]}
    assert {error: group["count"] for error, group in groups.items()} == {
        "no row # at (#,#)": 2,
        "division by zero": 1,
        "timed out at #%": 1,
    }
    newest = groups["no row # at (#,#)"]["newest"]
    assert [job["id"] for job in newest] == sorted(dead[:2], reverse=True)
    assert {(job["accountId"], job["amount"], job["currency"]) for job in newest} == {
        ("a", "1.00", "USD"),
        ("a", "2.00", "USD"),
    }
    page = await get_json(client, "/jobs?limit=1&errorGroup=no%20row%20%23%20at%20(%23,%23)")
    assert [job["id"] for job in page["jobs"]] == [max(dead[:2])]
    await get_json(client, f"/jobs?limit=1&cursor={page['nextCursor']}", 400)


async def test_a_truncated_list_of_groups_says_so(
    client: TestClientProtocol, sql: Sql, dead: list[int]
) -> None:
    items = [{"idempotencyKey": f"m{n}", "accountId": "many", "amount": 1} for n in range(26)]
    await client.post("/payments/batch", json={"payments": items})
    await sql.execute(
        "UPDATE recon_jobs SET status = 'failed', last_error = 'of ' || chr(65 + id::int % 26)"
        " WHERE status = 'pending'"
    )
    found = await get_json(client, "/jobs/groups")
    assert (len(found["groups"]), found["incomplete"]) == (20, True)
