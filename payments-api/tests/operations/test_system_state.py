"""The state of the system over HTTP: queue, workers, throughput, seals, audit."""

from collections.abc import Callable
from typing import Any

import pytest
from quart.typing import TestClientProtocol

from testkit.database.ledgers.sealed import add_failed
from testkit.database.sql import Sql
from testkit.waiting import until

from .conftest import get_json, post_json

ANN = {"actor": "ann", "reason": "the bug is fixed"}


async def test_the_queues_depth_is_reported(client: TestClientProtocol, dead: list[int]) -> None:
    await post_json(client, f"/jobs/{dead[0]}/replay", ANN)
    stats = await get_json(client, "/jobs/stats")
    assert (stats["pending"], stats["processing"], stats["failed"]) == (1, 0, 3)
    assert stats["oldestReadyAgeSeconds"] >= 0
    assert not stats["pendingCapped"]


async def test_an_idle_queue_has_no_oldest_job(client: TestClientProtocol) -> None:
    assert (await get_json(client, "/jobs/stats"))["oldestReadyAgeSeconds"] is None


async def test_a_worker_is_shown_while_it_lives(
    client: TestClientProtocol, start_worker: Callable[..., Any]
) -> None:
    assert await get_json(client, "/workers") == {"workers": []}
    await start_worker()

    async def is_shown() -> bool:
        return bool((await get_json(client, "/workers"))["workers"])

    await until(is_shown)
    workers = (await get_json(client, "/workers"))["workers"]
    assert [(worker["alive"], worker["heldJobs"]) for worker in workers] == [(True, 0)]


async def test_throughput_has_every_bucket_oldest_first(
    client: TestClientProtocol, sql: Sql
) -> None:
    await sql.execute(
        "INSERT INTO worker_throughput SELECT date_bin('10 s', now() - interval '30 s', 'epoch'),"
        " w, 5, 2, 1 FROM unnest('{w1,w2}'::text[]) AS w"
    )
    found = await get_json(client, "/throughput?minutes=1")
    assert found["bucketSeconds"] == 10
    assert len(found["buckets"]) == 6
    starts = [bucket["start"] for bucket in found["buckets"]]
    assert starts == sorted(starts)
    assert sum(bucket["completed"] for bucket in found["buckets"]) == 10
    assert [(b["failed"], b["discrepancy"]) for b in found["buckets"] if b["completed"]] == [(4, 2)]
    for minutes in ("0", "1441", "x", "1.5"):
        await get_json(client, f"/throughput?minutes={minutes}", 422)


@pytest.mark.parametrize(
    ("minutes", "seconds", "buckets"), [(60, 60, 60), (360, 300, 72), (1440, 900, 96)]
)
async def test_a_longer_range_has_wider_buckets(
    client: TestClientProtocol, sql: Sql, minutes: int, seconds: int, buckets: int
) -> None:
    await sql.execute(
        "INSERT INTO worker_throughput SELECT date_bin('10 s', now() - at, 'epoch'), 'w', 5, 2, 1"
        " FROM unnest('{20 min, 20 min 10 s, 25 h}'::interval[]) AS at"
    )
    found = await get_json(client, f"/throughput?minutes={minutes}&bucketSeconds={seconds}")
    assert found["bucketSeconds"] == seconds
    assert len(found["buckets"]) == buckets
    assert sum(bucket["completed"] for bucket in found["buckets"]) == 10
    for wrong in ("0", "11", "x", "900.0"):
        await get_json(client, f"/throughput?bucketSeconds={wrong}", 422)


async def test_the_state_of_the_seals_is_reported(client: TestClientProtocol, sql: Sql) -> None:
    empty = await get_json(client, "/seal")
    assert (empty["headSeq"], empty["headHash"], empty["unsealedEntries"]) == (0, None, 0)
    await sql.execute(
        "UPDATE seal_verification SET verified_seq = 3, problem = 'entry 7 was changed',"
        " problem_seq = 2, problem_at = now()"
    )
    found = await get_json(client, "/seal")
    assert (found["problem"], found["problemSeq"], found["verifiedSeq"]) == (
        "entry 7 was changed",
        2,
        3,
    )


async def test_results_without_entries_count_in_the_unsealed_age(
    client: TestClientProtocol, sql: Sql
) -> None:
    assert (await get_json(client, "/seal"))["unsealedAgeSeconds"] is None
    await add_failed(sql, 1)
    found = await get_json(client, "/seal")
    assert found["unsealedEntries"] == 0
    assert found["unsealedAgeSeconds"] > 0


async def test_the_auditors_findings_are_reported(client: TestClientProtocol, sql: Sql) -> None:
    assert await get_json(client, "/audit") == {"checkedAt": None, "mode": None, "invariants": []}
    await sql.execute(
        "INSERT INTO audit_findings (invariant, offending, mode)"
        " VALUES ('head_matches_entries', 0, 'full'), ('postings_balance', 2, 'full')"
    )
    found = await get_json(client, "/audit")
    assert found["mode"] == "full"
    oks = {invariant["name"]: invariant["ok"] for invariant in found["invariants"]}
    assert oks == {"head_matches_entries": True, "postings_balance": False}
    await sql.execute(
        "INSERT INTO audit_findings (invariant, offending, offenders, mode)"
        """ VALUES ('settled_once', 1, '[{"paymentId": "x"}]', 'full')"""
    )
    [known] = [i for i in (await get_json(client, "/audit"))["invariants"] if i["description"]]
    assert known["description"].startswith("A payment settles once")
    assert known["offenders"] == [{"paymentId": "x"}]
