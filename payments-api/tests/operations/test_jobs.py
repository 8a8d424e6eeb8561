"""The operators' view of the queue over HTTP, and their recorded decisions about dead letters."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeAlias

import asyncpg
import pytest
from quart.typing import TestClientProtocol

Sql: TypeAlias = "asyncpg.Connection[Any]"

ANN = {"actor": "ann", "reason": "the bug is fixed"}


@pytest.fixture
async def dead(client: TestClientProtocol, sql: Sql) -> list[int]:
    """The job ids of four dead letters, of the accounts a, a, b, b; the last timed out."""
    items = [
        {"idempotencyKey": f"k{n}", "accountId": account, "amount": n}
        for n, account in enumerate("aabb", start=1)
    ]
    await client.post("/payments/batch", json={"payments": items})
    await sql.execute(
        "UPDATE recon_jobs SET status = 'failed', attempts = 10, last_error = CASE"
        " (SELECT idempotency_key FROM payments WHERE payments.id = payment_id)"
        " WHEN 'k4' THEN 'timed out at 100%' ELSE 'division by zero' END"
    )
    rows = await sql.fetch(
        "SELECT j.id FROM recon_jobs j JOIN payments p ON p.id = payment_id"
        " ORDER BY idempotency_key"
    )
    return [row[0] for row in rows]


async def _get(client: TestClientProtocol, address: str, status: int = 200) -> Any:
    answer = await client.get(address)
    body = await answer.get_json()
    assert answer.status_code == status, body
    return body


async def _post(client: TestClientProtocol, address: str, body: Any, status: int = 200) -> Any:
    answer = await client.post(address, json=body)
    found = await answer.get_json()
    assert answer.status_code == status, found
    return found


async def test_dead_letters_are_listed_newest_first_and_paged(
    client: TestClientProtocol, dead: list[int]
) -> None:
    page = await _get(client, "/jobs?limit=3")
    assert [job["id"] for job in page["jobs"]] == sorted(dead)[:0:-1]
    assert {job["status"] for job in page["jobs"]} == {"failed"}
    rest = await _get(client, f"/jobs?limit=3&cursor={page['nextCursor']}")
    assert [job["id"] for job in rest["jobs"]] == [min(dead)]
    assert rest["nextCursor"] is None
    assert (await _get(client, "/jobs?status=pending"))["jobs"] == []
    await _get(client, f"/jobs?status=pending&cursor={page['nextCursor']}", 400)
    await _get(client, "/jobs?status=dead", 422)


@pytest.mark.parametrize("at", ["infinity", "-infinity"])
async def test_a_job_at_no_time_hides_no_other(
    client: TestClientProtocol, sql: Sql, dead: list[int], at: str
) -> None:
    """A role that may move a job's time may move it to the end of time."""
    await sql.execute(
        "UPDATE recon_jobs SET run_at = $1::text::timestamptz WHERE id = $2", at, dead[0]
    )
    assert {job["id"] for job in (await _get(client, "/jobs"))["jobs"]} == set(dead)
    job = await _get(client, f"/jobs/{dead[0]}")
    assert (await _get(client, f"/payments/{job['paymentId']}"))["job"]["runAt"] == job["runAt"]


async def test_one_job_is_shown_whatever_its_state(
    client: TestClientProtocol, dead: list[int]
) -> None:
    job = await _get(client, f"/jobs/{dead[3]}")
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


async def test_a_replayed_dead_letter_has_all_its_attempts_and_settles(
    client: TestClientProtocol, dead: list[int], start_worker: Callable[..., Any]
) -> None:
    job = await _post(client, f"/jobs/{dead[0]}/replay", ANN)
    assert (job["id"], job["status"], job["attempts"]) == (dead[0], "pending", 0)
    await start_worker()
    for _ in range(500):
        payment = await _get(client, f"/payments/{job['paymentId']}")
        if payment["status"] != "pending":
            break
        await asyncio.sleep(0.01)
    assert payment["status"] == "completed"
    assert (await _get(client, "/accounts/a/balance"))["balance"] == "1.00"


async def test_a_discarded_dead_letter_fails_its_payment_and_says_who_and_why(
    client: TestClientProtocol, sql: Sql, dead: list[int]
) -> None:
    job = await _post(client, f"/jobs/{dead[0]}/discard", {"actor": "ann", "reason": "a test"})
    assert job["status"] == "completed"
    payment = await _get(client, f"/payments/{job['paymentId']}")
    assert payment["status"] == "failed"
    assert payment["reconciliation"]["status"] == "failed"
    assert payment["reconciliation"]["notes"] == "Discarded by ann: a test"
    assert payment["reconciliation"]["ruleVersion"] == 0
    assert payment["ledgerEntries"] == []
    assert await sql.fetchval("SELECT count(*) FROM ledger_entries") == 0


@pytest.mark.parametrize("action", ["replay", "discard"])
async def test_only_a_dead_letter_can_be_acted_upon_and_only_once(
    client: TestClientProtocol, sql: Sql, dead: list[int], action: str
) -> None:
    answers = await asyncio.gather(
        *(client.post(f"/jobs/{dead[0]}/{action}", json=ANN) for _ in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 7]
    refused = next(answer for answer in answers if answer.status_code == 409)
    body = await refused.get_json()
    assert body["code"] == "job_not_dead"
    assert body["detail"].endswith("it is pending." if action == "replay" else "it is completed.")
    assert await sql.fetchval("SELECT count(*) FROM operator_actions") == 1


FILTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [0, 1, 2, 3]),
    ({"accountId": "a"}, [0, 1]),
    ({"accountId": "nobody"}, []),
    ({"errorContains": "zero"}, [0, 1, 2]),
    ({"errorContains": "100%"}, [3]),
    ({"errorContains": "%"}, [3]),
    ({"errorContains": "_"}, []),
    ({"errorContains": "zero", "accountId": "b"}, [2]),
    ({"createdFrom": "2999-01-01T00:00:00Z"}, []),
    ({"createdTo": "2001-01-01T00:00:00+14:00"}, []),
    ({"createdFrom": "2001-01-01T00:00:00Z", "createdTo": "2999-01-01T00:00:00Z"}, [0, 1, 2, 3]),
    ({"createdFrom": None, "accountId": None}, [0, 1, 2, 3]),
    ({"limit": 2}, [0, 1]),  # The oldest first.
]


@pytest.mark.parametrize(("which", "expected"), FILTERS)
async def test_dead_letters_are_replayed_by_filter_after_a_dry_run(
    client: TestClientProtocol,
    sql: Sql,
    dead: list[int],
    which: dict[str, Any],
    expected: list[int],
) -> None:
    # In one statement all payments have one time: the ids of their jobs may come in any order.
    expected_ids = [dead[n] for n in expected]
    if "limit" in which:
        expected_ids = sorted(dead)[: which["limit"]]
    counted = await _post(client, "/jobs/replay", ANN | which | {"dryRun": True})
    assert counted == {"matched": len(expected), "replayed": 0}
    assert await sql.fetchval("SELECT count(*) FROM recon_jobs WHERE status = 'pending'") == 0
    found = await _post(client, "/jobs/replay", ANN | which)
    assert found == {"matched": len(expected), "replayed": len(expected)}
    rows = await sql.fetch("SELECT id FROM recon_jobs WHERE status = 'pending'")
    assert {row[0] for row in rows} == set(expected_ids)
    actions = (await _get(client, "/jobs/actions"))["actions"]
    assert [sorted(a["jobIds"]) for a in actions] == [sorted(expected_ids)] * bool(expected_ids)


BAD_BODIES: list[tuple[str, dict[str, Any] | str, str]] = [
    # address, body, the field that is named
    ("replay", {}, "actor"),
    ("1/replay", {}, "actor"),
    ("1/replay", {"actor": ""}, "actor"),
    ("1/replay", {"actor": "   "}, "actor"),
    ("1/replay", {"actor": None}, "actor"),
    ("1/replay", {"actor": 7}, "actor"),
    ("1/replay", {"actor": "a" * 201}, "actor"),
    ("1/replay", {"actor": "a\0"}, "actor"),
    ("1/replay", {"actor": "\ud800"}, "actor"),
    ("1/replay", ANN | {"reason": "r" * 1001}, "reason"),
    ("1/replay", ANN | {"reason": None}, "reason"),
    ("1/replay", ANN | {"more": 1}, "more"),
    ("1/discard", {"actor": "ann"}, "reason"),
    ("1/discard", {"actor": "ann", "reason": " "}, "reason"),
    ("replay", ANN | {"limit": 0}, "limit"),
    ("replay", ANN | {"limit": 1001}, "limit"),
    ("replay", ANN | {"limit": 1.5}, "limit"),
    ("replay", ANN | {"limit": "many"}, "limit"),
    ("replay", '{"actor": "ann", "limit": 1e30000000}', "limit"),
    ("replay", '{"actor": "ann", "limit": 1e-30000000}', "limit"),
    ("replay", '{"actor": "ann", "limit": 1e99999999999999999999}', "limit"),
    ("replay", ANN | {"dryRun": "yes"}, "dryRun"),
    ("replay", ANN | {"dryRun": 1}, "dryRun"),
    ("replay", ANN | {"dry_run": True}, "dry_run"),
    ("replay", ANN | {"createdFrom": "2026-01-01"}, "createdFrom"),
    ("replay", ANN | {"createdFrom": "2026-01-01T00:00:00"}, "createdFrom"),
    ("replay", ANN | {"createdFrom": 0}, "createdFrom"),
    ("replay", ANN | {"createdTo": "9999-12-31T23:59:59-14:00"}, "createdTo"),
    ("replay", ANN | {"accountId": ""}, "accountId"),
    ("replay", ANN | {"accountId": "a b"}, "accountId"),
    ("replay", ANN | {"errorContains": "e\0"}, "errorContains"),
    ("replay", ANN | {"errorContains": "e" * 501}, "errorContains"),
]


@pytest.mark.parametrize(("address", "body", "named"), BAD_BODIES)
async def test_each_bad_request_is_refused_by_name_and_changes_nothing(
    client: TestClientProtocol,
    sql: Sql,
    dead: list[int],
    address: str,
    body: dict[str, Any] | str,
    named: str,
) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    answer = await asyncio.wait_for(
        client.post(f"/jobs/{address}", data=text, headers={"Content-Type": "application/json"}),
        2,
    )
    found = await answer.get_json()
    assert answer.status_code == 422, found
    assert found["code"] == "validation_error"
    assert [error["field"] for error in found["errors"]] == [named]
    assert await sql.fetchval("SELECT count(*) FROM recon_jobs WHERE status = 'failed'") == 4


async def test_a_key_that_is_half_a_pair_is_refused(client: TestClientProtocol) -> None:
    for address in ("/jobs/replay", "/jobs/1/replay", "/jobs/1/discard"):
        answer = await client.post(address, json=ANN | {"\ud800": 1})
        assert answer.status_code == 422


async def test_what_operators_did_is_on_record_newest_first(
    client: TestClientProtocol, dead: list[int]
) -> None:
    await _post(client, f"/jobs/{dead[0]}/replay", {"actor": " ann ", "reason": " é "})
    await _post(client, f"/jobs/{dead[1]}/discard", {"actor": "bob", "reason": "lost"})
    page = await _get(client, "/jobs/actions?limit=1")
    (newest,) = page["actions"]
    assert {name: newest[name] for name in ("action", "actor", "reason", "jobIds")} == {
        "action": "discard",
        "actor": "bob",
        "reason": "lost",
        "jobIds": [dead[1]],
    }
    rest = await _get(client, f"/jobs/actions?limit=1&cursor={page['nextCursor']}")
    assert [(a["action"], a["actor"], a["reason"]) for a in rest["actions"]] == [
        ("replay", "ann", "é")
    ]
    assert rest["nextCursor"] is None


async def test_the_queues_depth_is_told(client: TestClientProtocol, dead: list[int]) -> None:
    await _post(client, f"/jobs/{dead[0]}/replay", ANN)
    stats = await _get(client, "/jobs/stats")
    assert (stats["pending"], stats["processing"], stats["failed"]) == (1, 0, 3)
    assert stats["oldestReadyAgeSeconds"] >= 0
    assert not stats["pendingCapped"]


async def test_an_idle_queue_has_no_oldest_job(client: TestClientProtocol) -> None:
    assert (await _get(client, "/jobs/stats"))["oldestReadyAgeSeconds"] is None


async def test_a_worker_is_shown_while_it_lives(
    client: TestClientProtocol, start_worker: Callable[..., Any]
) -> None:
    assert await _get(client, "/workers") == {"workers": []}
    await start_worker()
    for _ in range(500):
        workers = (await _get(client, "/workers"))["workers"]
        if workers:
            break
        await asyncio.sleep(0.01)
    assert [(worker["alive"], worker["heldJobs"]) for worker in workers] == [(True, 0)]


async def test_throughput_has_every_bucket_oldest_first(
    client: TestClientProtocol, sql: Sql
) -> None:
    await sql.execute(
        "INSERT INTO worker_throughput SELECT date_bin('10 s', now() - interval '30 s', 'epoch'),"
        " w, 5, 2, 1 FROM unnest('{w1,w2}'::text[]) AS w"
    )
    found = await _get(client, "/throughput?minutes=1")
    assert found["bucketSeconds"] == 10
    assert len(found["buckets"]) == 6
    starts = [bucket["start"] for bucket in found["buckets"]]
    assert starts == sorted(starts)
    assert sum(bucket["completed"] for bucket in found["buckets"]) == 10
    assert [(b["failed"], b["discrepancy"]) for b in found["buckets"] if b["completed"]] == [(4, 2)]
    for minutes in ("0", "1441", "x", "1.5"):
        await _get(client, f"/throughput?minutes={minutes}", 422)


async def test_the_auditors_findings_are_told(client: TestClientProtocol, sql: Sql) -> None:
    assert await _get(client, "/audit") == {"checkedAt": None, "mode": None, "invariants": []}
    await sql.execute(
        "INSERT INTO audit_findings (invariant, offending, mode)"
        " VALUES ('head_matches_entries', 0, 'full'), ('postings_balance', 2, 'full')"
    )
    found = await _get(client, "/audit")
    assert found["mode"] == "full"
    oks = {invariant["name"]: invariant["ok"] for invariant in found["invariants"]}
    assert oks == {"head_matches_entries": True, "postings_balance": False}
