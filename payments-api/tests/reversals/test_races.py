"""Reversals race with the discards and replays of dead ones: amounts are reserved once, or freed.

The races are real: sessions wait for each other's locks.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Collection
from uuid import uuid4

import pytest
from quart.typing import TestClientProtocol
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import create_engine
from payments_core.queue.dead_letters import discard, discard_matching
from payments_core.queue.job_queries import DeadLetterFilter
from testkit.database.backlog import Stored, add_payments
from testkit.database.head_rows import until_a_transaction_waits
from testkit.database.ledgers.settled import FAST, until_all_settled
from testkit.database.reversals import add_reversal
from testkit.database.sql import Sql
from testkit.model.ledger import assert_audit_is_clean
from testkit.waiting import until
from testkit.worker.own_system import running_worker

ANN = Operator("ann", None, None)
BURY = """
UPDATE recon_jobs SET status = 'failed', last_error = 'x' WHERE reversal_id = ANY ($1) RETURNING id
"""
RESERVED = "SELECT reserved FROM reversal_totals WHERE payment_id = $1"


@pytest.fixture
async def api_engine(api_url_of_database: str) -> AsyncIterator[AsyncEngine]:
    """An engine with the API's role."""
    engine = create_engine(api_url_of_database, application_name="test", pool_size=10)
    yield engine
    await engine.dispose()


@pytest.fixture
async def paid(sql: Sql, worker_url_of_database: str) -> list[Stored]:
    """Two completed payments of 100.00 USD."""
    payments = await add_payments(sql, [("acc_1", "100", "USD"), ("acc_2", "100", "USD")])
    async with running_worker(worker_url_of_database, **FAST):
        await until_all_settled(sql)
    return sorted(payments, key=lambda payment: payment.id)


async def _dead(sql: Sql, payment: Stored, amount: str) -> int:
    """Store a reversal whose job is a dead letter; return the job's id."""
    reversal_id = await add_reversal(sql, payment, amount)
    job_id: int = await sql.fetchval(BURY, [reversal_id])
    return job_id


async def _reverse(client: TestClientProtocol, payment: Stored, amount: str) -> int:
    answer = await client.post(
        f"/payments/{payment.id}/reversals",
        json={"amount": amount, "reason": "a test"},
        headers={"Idempotency-Key": str(uuid4())},
    )
    return answer.status_code


@pytest.mark.parametrize(
    ("ends", "status", "reserved"), [("commit", 201, 70), ("rollback", 409, 60)]
)
async def test_a_reversal_waits_for_the_discard_that_may_free_its_amount(
    client: TestClientProtocol,
    sql: Sql,
    engine: AsyncEngine,
    api_engine: AsyncEngine,
    paid: list[Stored],
    ends: str,
    status: int,
    reserved: int,
) -> None:
    job_id = await _dead(sql, paid[0], "60")
    async with api_engine.connect() as tx:
        await discard(tx, job_id, ANN, "a test")
        reversing = asyncio.create_task(_reverse(client, paid[0], "70"))
        await until_a_transaction_waits(sql)
        await (tx.commit() if ends == "commit" else tx.rollback())
    assert await reversing == status
    assert await sql.fetchval(RESERVED, paid[0].id) == reserved
    await assert_audit_is_clean(engine)


async def test_concurrent_discards_of_the_same_payments_reversals_never_deadlock(
    sql: Sql, engine: AsyncEngine, api_engine: AsyncEngine, paid: list[Stored]
) -> None:
    """Each discards one reversal of either payment, in opposite orders of their jobs."""
    first, second = paid
    jobs = [await _dead(sql, payment, "10") for payment in (first, second, second, first)]

    async def discard_all(ids: Collection[int]) -> int:
        async with api_engine.begin() as tx:
            found, _ = await discard_matching(
                tx, DeadLetterFilter(job_ids=list(ids)), len(ids), ANN, "a test"
            )
            return len(found)

    async def waiting(count: int) -> None:
        async def wait() -> bool:
            query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            return bool(await sql.fetchval(query) >= count)

        await until(wait)

    async with api_engine.begin() as blocking:
        await blocking.exec_driver_sql(
            "SELECT FROM reversal_totals WHERE payment_id = $1 FOR UPDATE", (first.id,)
        )
        discarding = [asyncio.create_task(discard_all(jobs[:2]))]
        await waiting(1)
        discarding.append(asyncio.create_task(discard_all(jobs[2:])))
        await waiting(2)
    assert await asyncio.gather(*discarding) == [2, 2]
    assert [await sql.fetchval(RESERVED, payment.id) for payment in paid] == [0, 0]
    await assert_audit_is_clean(engine)


async def test_racing_discards_replays_and_reversals_lose_no_amount(
    client: TestClientProtocol,
    sql: Sql,
    engine: AsyncEngine,
    paid: list[Stored],
    worker_url_of_database: str,
) -> None:
    chance = random.Random(1)
    dead = [await _dead(sql, chance.choice(paid), "10") for _ in range(12)]
    body = {"actor": "ann", "reason": "a test"}

    async def decide(job_id: int, action: str) -> int:
        answer = await client.post(f"/jobs/{job_id}/{action}", json=body)
        return answer.status_code

    async with running_worker(worker_url_of_database, **FAST):
        actions = [(job_id, action) for job_id in dead for action in ("discard", "replay")]
        reversals = [_reverse(client, chance.choice(paid), "15") for _ in range(20)]
        decisions = [decide(*action) for action in chance.sample(actions, len(actions))]
        decided, reversed_ = await asyncio.gather(
            asyncio.gather(*decisions), asyncio.gather(*reversals)
        )
        await until_all_settled(sql)
    assert sorted(decided) == [200] * len(dead) + [409] * len(dead)
    assert set(reversed_) <= {201, 409}
    for payment in paid:
        completed = await sql.fetchval(
            "SELECT coalesce(sum(amount), 0) FROM reversals"
            " WHERE payment_id = $1 AND status = 'completed'",
            payment.id,
        )
        assert await sql.fetchval(RESERVED, payment.id) == completed <= 100
    await assert_audit_is_clean(engine)
