"""Operators' decisions about dead letters over HTTP: replay, discard, and the record of both."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from quart.typing import TestClientProtocol

from testkit.database.sql import Sql
from testkit.paging import read_both_ways
from testkit.waiting import until

from .conftest import get_json, post_json

ANN = {"actor": "ann", "reason": "the bug is fixed"}


async def test_a_replayed_dead_letter_has_all_its_attempts_and_settles(
    client: TestClientProtocol, dead: list[int], start_worker: Callable[..., Any]
) -> None:
    job = await post_json(client, f"/jobs/{dead[0]}/replay", ANN)
    assert (job["id"], job["status"], job["attempts"]) == (dead[0], "pending", 0)
    await start_worker()

    async def completed() -> bool:
        payment = await get_json(client, f"/payments/{job['paymentId']}")
        return bool(payment["status"] == "completed")

    await until(completed)
    assert (await get_json(client, "/accounts/a/balance"))["balance"] == "1.00"


async def test_a_discarded_dead_letter_fails_its_payment_with_actor_and_reason(
    client: TestClientProtocol, sql: Sql, dead: list[int]
) -> None:
    job = await post_json(client, f"/jobs/{dead[0]}/discard", {"actor": "ann", "reason": "a test"})
    assert job["status"] == "completed"
    payment = await get_json(client, f"/payments/{job['paymentId']}")
    assert payment["status"] == "failed"
    assert payment["reconciliation"]["status"] == "failed"
    assert payment["reconciliation"]["notes"] == "Discarded by ann: a test"
    assert payment["reconciliation"]["ruleVersion"] == 0
    assert payment["ledgerEntries"] == []
    assert await sql.fetchval("SELECT count(*) FROM ledger_entries") == 0


@pytest.mark.parametrize("action", ["replay", "discard"])
async def test_only_a_dead_letter_can_be_decided_and_only_once(
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
    ({"accountId": "unknown"}, []),
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
    ({"errorGroup": "timed out at #%"}, [3]),
    ({"errorGroup": "timed out at"}, []),
    ({"errorGroup": "division by zero", "accountId": "b"}, [2]),
]


@pytest.mark.parametrize(("which", "expected"), FILTERS)
async def test_dead_letters_are_replayed_by_filter_after_a_dry_run(
    client: TestClientProtocol,
    sql: Sql,
    dead: list[int],
    which: dict[str, Any],
    expected: list[int],
) -> None:
    # Payments of one statement have one time, so the order of their jobs' ids is undefined.
    expected_ids = [dead[n] for n in expected]
    if "limit" in which:
        expected_ids = sorted(dead)[: which["limit"]]
    counted = await post_json(client, "/jobs/replay", ANN | which | {"dryRun": True})
    assert (counted["matched"], counted["replayed"]) == (len(expected), 0)
    assert await sql.fetchval("SELECT count(*) FROM recon_jobs WHERE status = 'pending'") == 0
    found = await post_json(client, "/jobs/replay", ANN | which)
    assert found["jobIds"] == sorted(expected_ids) == counted["jobIds"]
    assert (found["matched"], found["replayed"]) == (len(expected), len(expected))
    rows = await sql.fetch("SELECT id FROM recon_jobs WHERE status = 'pending'")
    assert {row[0] for row in rows} == set(expected_ids)
    actions = (await get_json(client, "/jobs/actions"))["actions"]
    assert [sorted(a["jobIds"]) for a in actions] == [sorted(expected_ids)] * bool(expected_ids)


BAD_BODIES: list[tuple[str, dict[str, Any] | str, str]] = [
    # path, body, the field in the error
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
    ("replay", ANN | {"jobIds": []}, "jobIds"),
    ("replay", ANN | {"jobIds": 1}, "jobIds"),
    ("replay", ANN | {"jobIds": ["1"]}, "jobIds.0"),
    ("replay", ANN | {"jobIds": [1, True]}, "jobIds.1"),
    ("replay", ANN | {"jobIds": [1.0]}, "jobIds.0"),
    ("replay", ANN | {"jobIds": [0]}, "jobIds.0"),
    ("replay", ANN | {"jobIds": [2**63]}, "jobIds.0"),
    ("replay", '{"actor": "ann", "jobIds": [1e30000000]}', "jobIds.0"),
    ("replay", ANN | {"jobIds": [1] * 1001}, "jobIds"),
    ("replay", ANN | {"errorGroup": "e" * 301}, "errorGroup"),
    ("replay", ANN | {"errorGroup": "e\0"}, "errorGroup"),
    ("discard", ANN, "jobIds"),
    ("discard", ANN | {"limit": 5, "dryRun": True}, "jobIds"),
    ("discard", ANN | {"jobIds": None}, "jobIds"),
    ("discard", {"actor": "ann", "jobIds": [1]}, "reason"),
    ("discard", {"actor": "ann", "jobIds": [1], "reason": " "}, "reason"),
    ("discard", {"reason": "lost", "jobIds": [1]}, "actor"),
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
async def test_each_bad_request_is_rejected_by_name_and_changes_nothing(
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


async def test_a_lone_surrogate_in_a_key_is_rejected(client: TestClientProtocol) -> None:
    for address in ("/jobs/replay", "/jobs/1/replay", "/jobs/1/discard"):
        answer = await client.post(address, json=ANN | {"\ud800": 1})
        assert answer.status_code == 422


async def test_several_dead_letters_are_discarded_as_one_action(
    client: TestClientProtocol, sql: Sql, dead: list[int]
) -> None:
    which = {"jobIds": [*dead[:2], 99999]}
    counted = await post_json(client, "/jobs/discard", ANN | which | {"dryRun": True})
    expected = {"matched": 2, "skipped": 1, "jobIds": sorted(dead[:2])}
    assert counted == expected | {"discarded": 0}
    assert await sql.fetchval("SELECT count(*) FROM operator_actions") == 0
    assert await post_json(client, "/jobs/discard", ANN | which) == expected | {"discarded": 2}
    rows = await sql.fetch(
        "SELECT p.status, r.notes, j.status"
        " FROM payments p JOIN recon_jobs j ON j.payment_id = p.id"
        " LEFT JOIN reconciliation_results r ON r.payment_id = p.id ORDER BY idempotency_key"
    )
    failed = ("failed", "Discarded by ann: the bug is fixed", "completed")
    assert [tuple(row) for row in rows] == [failed] * 2 + [("pending", None, "failed")] * 2
    (action,) = (await get_json(client, "/jobs/actions"))["actions"]
    assert (action["action"], action["jobIds"]) == ("discard", sorted(dead[:2]))
    assert await post_json(client, "/jobs/discard", ANN | which) == {
        "matched": 0,
        "skipped": 3,
        "jobIds": [],
        "discarded": 0,
    }
    assert await sql.fetchval("SELECT count(*) FROM operator_actions") == 1


async def test_concurrent_decisions_settle_each_dead_letter_once(
    client: TestClientProtocol, sql: Sql, dead: list[int]
) -> None:
    which = ANN | {"jobIds": dead}
    answers = await asyncio.gather(
        *(post_json(client, f"/jobs/{action}", which) for action in ("replay", "discard") * 4)
    )
    done = [answer.get("replayed", answer.get("discarded")) for answer in answers]
    assert sum(done) == 4
    assert sum(answer["skipped"] for answer in answers) == 7 * 4
    decided = await sql.fetch("SELECT unnest(job_ids) FROM operator_actions")
    assert sorted(row[0] for row in decided) == sorted(dead)


async def test_a_dry_run_needs_no_operator(client: TestClientProtocol, dead: list[int]) -> None:
    found = await post_json(client, "/jobs/replay", {"dryRun": True, "accountId": "b"})
    assert found["jobIds"] == sorted(dead[2:])


async def test_operator_actions_are_listed_newest_first(
    client: TestClientProtocol, dead: list[int]
) -> None:
    await post_json(client, f"/jobs/{dead[0]}/replay", {"actor": " ann ", "reason": " é "})
    await post_json(client, f"/jobs/{dead[1]}/discard", {"actor": "bob", "reason": "lost"})
    page = await get_json(client, "/jobs/actions?limit=1")
    (newest,) = page["actions"]
    assert {name: newest[name] for name in ("action", "actor", "reason", "jobIds")} == {
        "action": "discard",
        "actor": "bob",
        "reason": "lost",
        "jobIds": [dead[1]],
    }
    both = await read_both_ways(
        lambda at: get_json(client, f"/jobs/actions?limit=1{at}"), "actions"
    )
    assert [(a["action"], a["actor"], a["reason"]) for a in both] == [
        ("discard", "bob", "lost"),
        ("replay", "ann", "é"),
    ]
