"""Dead letters: listed, replayed and discarded, each decision recorded."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.audit_log import Operator, list_actions
from payments_core.db.engine import single_statement, transaction
from payments_core.db.keyset import Walk
from payments_core.queue import dead_letters, job_queries, jobs
from payments_core.queue.dead_letters import JobNotDead
from payments_core.queue.job_queries import DeadLetterFilter, JobNotFound
from testkit.database.backlog import add_payments, add_simple, job_rows, status_counts
from testkit.database.sql import Sql
from testkit.model.ledger import assert_audit_is_clean

EVERY_DEAD_LETTER = DeadLetterFilter()
HOUR = timedelta(hours=1)

ANN = Operator("ann")


async def _bury(sql: Sql, ids: str = "true", error: str = "no luck") -> None:
    await sql.execute(
        "UPDATE recon_jobs SET status = 'failed', attempts = max_attempts, last_error = $1"
        f" WHERE {ids}",
        error,
    )


async def _in_transaction(
    engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[Any]]
) -> Any:
    async with transaction(engine) as tx:
        return await work(tx)


async def _replay_matching(
    engine: AsyncEngine, which: DeadLetterFilter, limit: int = 100
) -> list[int]:
    async with transaction(engine) as tx:
        return await dead_letters.replay_matching(tx, which, limit, ANN, "fixed")


async def _actions(engine: AsyncEngine) -> list[tuple[str, str, str, list[int]]]:
    async with transaction(engine) as tx:
        rows = await list_actions(tx, 100)
    return [(row.action, row.actor, row.reason, row.job_ids) for row in rows]


async def test_a_replay_restores_all_attempts_and_is_recorded(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 2)
    await _bury(sql)
    job = await _in_transaction(engine, lambda tx: dead_letters.replay(tx, 2, ANN, "fixed"))

    assert (job.status, job.attempts, job.last_error) == ("pending", 0, "no luck")
    assert await _actions(engine) == [("replay", "ann", "fixed", [2])]
    async with single_statement(engine) as connection:
        claimed = await jobs.claim(connection, jobs.new_lease("worker", 60), 10)
    assert [(job.id, job.attempts) for job in claimed] == [(2, 1)]


@pytest.mark.parametrize("status", ["pending", "processing", "completed"])
async def test_only_a_dead_letter_can_be_replayed_or_discarded(
    sql: Sql, engine: AsyncEngine, status: str
) -> None:
    await add_simple(sql, 1)
    await sql.execute(
        "UPDATE recon_jobs SET status = $1, lease_token = CASE WHEN $2 THEN gen_random_uuid() END,"
        " locked_until = CASE WHEN $2 THEN now() END",
        status,
        status == "processing",
    )
    for decide in (dead_letters.replay, dead_letters.discard):
        with pytest.raises(JobNotDead, match=status):
            await _in_transaction(engine, lambda tx, decide=decide: decide(tx, 1, ANN, "why"))  # type: ignore[misc]  # mypy cannot infer a lambda with a default.
    assert await _actions(engine) == []
    assert await status_counts(sql) == {status: 1}


async def test_an_unknown_job_cannot_be_shown_replayed_or_discarded(
    engine: AsyncEngine,
) -> None:
    with pytest.raises(JobNotFound):
        await _in_transaction(engine, lambda tx: job_queries.get_job(tx, 7))
    with pytest.raises(JobNotFound):
        await _in_transaction(engine, lambda tx: dead_letters.replay(tx, 7, ANN, "why"))
    with pytest.raises(JobNotFound):
        await _in_transaction(engine, lambda tx: dead_letters.discard(tx, 7, ANN, "why"))


async def test_a_discard_fails_the_payment_with_actor_and_reason_on_record(
    sql: Sql, engine: AsyncEngine
) -> None:
    [payment] = await add_simple(sql, 1)
    await _bury(sql)
    job = await _in_transaction(engine, lambda tx: dead_letters.discard(tx, 1, ANN, "a test"))

    assert job.status == "completed"
    result = await sql.fetchrow("SELECT * FROM reconciliation_results")
    assert result is not None
    assert (result["payment_id"], result["status"]) == (payment.id, "failed")
    assert (result["notes"], result["rule_version"]) == ("Discarded by ann: a test", 0)
    settled = await sql.fetchrow("SELECT status, settled_at FROM payments")
    assert settled is not None
    assert settled["status"] == "failed"
    assert settled["settled_at"] is not None
    assert await _actions(engine) == [("discard", "ann", "a test", [1])]
    await assert_audit_is_clean(engine)


async def test_discarding_a_job_whose_payment_is_settled_changes_no_history(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 1)
    await _bury(sql)
    await _in_transaction(engine, lambda tx: dead_letters.discard(tx, 1, ANN, "first"))
    await _bury(sql)
    await _in_transaction(engine, lambda tx: dead_letters.discard(tx, 1, ANN, "second"))
    assert await sql.fetchval("SELECT count(*) FROM reconciliation_results") == 1
    assert await status_counts(sql) == {"completed": 1}


async def test_a_filter_selects_by_error_account_and_time(sql: Sql, engine: AsyncEngine) -> None:
    await add_payments(sql, [("a", "1", "USD"), ("b", "1", "USD"), ("a", "1", "USD")])
    await _bury(sql, "id = 1", "100% wrong")
    await _bury(sql, "id = 2", "100 times wrong")
    await _bury(sql, "id = 3", "timed_out")
    await sql.execute("UPDATE recon_jobs SET created_at = now() - interval '1 day' WHERE id = 3")
    now = datetime.now(UTC)

    async def matched(**terms: Any) -> list[int]:
        which = DeadLetterFilter(**terms)
        async with transaction(engine) as tx:
            listed = await job_queries.matching_ids(tx, which, 100)
            ids = await dead_letters.replay_matching(tx, which, 100, ANN, "")
            await tx.rollback()
        assert listed == ids
        return ids

    assert await matched() == [1, 2, 3]
    assert await matched(error_contains="wrong") == [1, 2]
    # The text is literal: % and _ are not wildcards.
    assert await matched(error_contains="100%") == [1]
    assert await matched(error_contains="d_o") == [3]
    assert await matched(account_id="a") == [1, 3]
    assert await matched(created_from=now - HOUR) == [1, 2]
    assert await matched(created_to=now - HOUR) == [3]
    assert await matched(account_id="b", error_contains="timed") == []


async def test_a_bulk_replay_takes_the_oldest_up_to_the_limit_in_one_record(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 5)
    await _bury(sql, "id <> 1")
    assert await _replay_matching(engine, EVERY_DEAD_LETTER, limit=3) == [2, 3, 4]
    assert await _replay_matching(engine, EVERY_DEAD_LETTER) == [5]
    assert await _replay_matching(engine, EVERY_DEAD_LETTER) == []
    assert [ids for *_, ids in await _actions(engine)] == [[5], [2, 3, 4]]
    assert {job["status"] for job in await job_rows(sql)} == {"pending"}


async def test_a_bulk_replay_never_exceeds_its_maximum(
    sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_queries, "REPLAY_JOBS_MAX", 2)
    await add_simple(sql, 3)
    await _bury(sql)
    assert await _replay_matching(engine, EVERY_DEAD_LETTER, limit=10**6) == [1, 2]


async def test_a_bulk_replay_skips_dead_letters_locked_by_another_decision(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 2)
    await _bury(sql)
    async with sql.transaction():
        await sql.execute("SELECT FROM recon_jobs WHERE id = 1 FOR UPDATE")
        assert await _replay_matching(engine, EVERY_DEAD_LETTER) == [2]


async def test_jobs_and_actions_are_listed_newest_first_page_by_page(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 5)
    await _bury(sql, "id <> 3")
    async with transaction(engine) as tx:
        first = await job_queries.list_jobs(tx, "failed", 2)
        back = await job_queries.list_jobs(tx, "failed", 9, Walk(first[-1].id, backward=True))
        second = await job_queries.list_jobs(tx, "failed", 2, Walk(first[-1].id))
        for job_id in (1, 2):
            await dead_letters.replay(tx, job_id, ANN, str(job_id))
        newest = await list_actions(tx, 1)
        older = await list_actions(tx, 9, Walk(newest[0].id))
    assert [job.id for job in (*first, *second)] == [5, 4, 2, 1]
    assert [job.id for job in back] == [4, 5]
    assert [action.reason for action in (*newest, *older)] == ["2", "1"]


async def test_operator_actions_are_never_changed(sql: Sql, engine: AsyncEngine) -> None:
    await add_simple(sql, 1)
    await _bury(sql)
    await _in_transaction(engine, lambda tx: dead_letters.replay(tx, 1, ANN, ""))
    for change in ("UPDATE operator_actions SET actor = 'bob'", "DELETE FROM operator_actions"):
        with pytest.raises(Exception, match="what is recorded there is never changed"):
            await sql.execute(change)


async def test_discarding_several_fails_their_payments_in_a_valid_ledger(
    sql: Sql, engine: AsyncEngine
) -> None:
    made = await add_simple(sql, 4)
    await _bury(sql, "id < 4")
    which = DeadLetterFilter(job_ids=[1, 2, 4, 9])
    ids, failed = await _in_transaction(
        engine, lambda tx: dead_letters.discard_matching(tx, which, 100, ANN, "a test")
    )
    assert ids == [1, 2]
    assert sorted(failed) == sorted(payment.id for payment in made[:2])
    assert await status_counts(sql) == {"completed": 2, "failed": 1, "pending": 1}
    assert await _actions(engine) == [("discard", "ann", "a test", [1, 2])]
    await assert_audit_is_clean(engine)


async def test_a_dead_letter_that_another_operator_holds_is_left_to_them(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 2)
    await _bury(sql)
    async with transaction(engine) as tx:
        await dead_letters.replay(tx, 1, ANN, "first")
        ids, _ = await _in_transaction(
            engine,
            lambda other: dead_letters.discard_matching(
                other, DeadLetterFilter(job_ids=[1, 2]), 100, ANN, "second"
            ),
        )
    assert ids == [2]
