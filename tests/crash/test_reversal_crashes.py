"""Payments and reversals in the same batches, by workers that are killed at every step.

Each test ends with the ledger compared with a model of it, a full audit, and its seals.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from decimal import Decimal

import pytest

from recon_worker.failpoints import VARIABLE
from testkit.database.backlog import Stored, add_payments, set_source
from testkit.database.ledgers.settled import FAST, until_all_settled
from testkit.database.reversals import StoredReversal, add_reversal
from testkit.database.sql import Sql
from testkit.model.ledger import assert_ledger_is_of
from testkit.waiting import until
from testkit.worker.own_system import running_worker
from testkit.worker.worker_process import WorkerProcess

# Every step that a batch passes, as it succeeds, fails, is halved and is retried.
POINTS = (
    "before_claim",
    "after_claim",
    "after_fence",
    "after_posting",
    "after_commit",
    "before_notice",
    "after_failure",
    "after_bisection",
    "after_retry",
)
# The first attempts of one reversal and one payment fail.
FAILS_ONCE = """
CREATE FUNCTION fails_once() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tried int;
BEGIN
    SELECT attempts INTO tried FROM recon_jobs
    WHERE recon_jobs.reversal_id = NEW.id OR recon_jobs.payment_id = NEW.id;
    IF tried = 1 THEN RAISE EXCEPTION 'not at the first attempt'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fails_once BEFORE UPDATE ON payments FOR EACH ROW
WHEN (NEW.amount = 77) EXECUTE FUNCTION fails_once();
CREATE TRIGGER fails_once BEFORE UPDATE ON reversals FOR EACH ROW
WHEN (NEW.amount = 0.07) EXECUTE FUNCTION fails_once()"""


@pytest.fixture
async def paid(sql: Sql, worker_url_of_database: str) -> list[Stored]:
    """Completed payments of two sources, on three accounts."""
    stored = await add_payments(sql, [(f"acc_{n % 3}", "10", "USD") for n in range(12)])
    for payment in stored[::2]:
        await set_source(sql, payment, "bank")
    async with running_worker(worker_url_of_database, **FAST):
        await until_all_settled(sql)
    return stored


async def _add_mixed(sql: Sql, paid: Sequence[Stored]) -> tuple[list[Stored], list[StoredReversal]]:
    """Store payments and reversals so that every third job is a reversal's."""
    added: list[Stored] = []
    reversals: list[StoredReversal] = []
    for number, payment in enumerate(paid):
        amounts = ("77" if number == 5 else "3", "2.13")
        added += await add_payments(sql, [(payment.account_id, a, "USD") for a in amounts])
        amount = Decimal("0.07" if number == 7 else "10" if number % 4 == 0 else "2.50")
        reversal_id = await add_reversal(sql, payment, amount)
        reversals.append(StoredReversal(reversal_id, payment.id, amount))
    return added, reversals


@pytest.mark.parametrize("point", POINTS)
async def test_a_worker_killed_at_any_step_loses_and_repeats_no_reversal(
    sql: Sql, paid: list[Stored], start_process: Callable[..., WorkerProcess], point: str
) -> None:
    await sql.execute(FAILS_ONCE)
    try:
        added, reversals = await _add_mixed(sql, paid)
        armed = {VARIABLE: f"kill {point} 1", "RECON_WORKER_BATCH_SIZE": "20"}
        killed = start_process(**armed)
        assert await asyncio.to_thread(killed.wait, 60) == -9, killed.log.read_text()[-2000:]
        start_process()
        await until_all_settled(sql, 60)
    finally:
        # One table's lock at a time, since the worker still reads both.
        for table in ("payments", "reversals"):
            await sql.execute(f"DROP TRIGGER fails_once ON {table}")
        await sql.execute("DROP FUNCTION fails_once()")
    await assert_ledger_is_of(sql, [*paid, *added], reversals)


async def test_killed_workers_post_concurrent_reversals_of_one_account_once(
    sql: Sql, start_process: Callable[..., WorkerProcess], worker_url_of_database: str
) -> None:
    """Three workers at a time, small batches, every job on one account; each is killed in turn."""
    chance = random.Random(1)
    paid = await add_payments(sql, [("acc_hot", "10", "USD")] * 60)
    async with running_worker(worker_url_of_database, **FAST):
        await until_all_settled(sql)
    reversals = []
    for payment in paid:
        for amount in (Decimal("2.50"), Decimal("7.50")):
            reversal_id = await add_reversal(sql, payment, amount)
            reversals.append(StoredReversal(reversal_id, payment.id, amount))
    added = await add_payments(sql, [("acc_hot", "1", "USD")] * 60)
    workers = [start_process(RECON_WORKER_BATCH_SIZE="7") for _ in range(3)]

    async def posted(count: int) -> None:
        async def enough() -> bool:
            settled = "SELECT count(*) FROM reversals WHERE settled_at IS NOT NULL"
            return int(await sql.fetchval(settled)) >= count

        await until(enough, 60)

    for count in (15, 40, 70):
        await posted(count)
        await asyncio.sleep(chance.uniform(0, 0.05))
        workers.pop(0).kill()
        workers.append(start_process(RECON_WORKER_BATCH_SIZE="7"))
    await until_all_settled(sql, 60)
    await assert_ledger_is_of(sql, [*paid, *added], reversals)
    balance = await sql.fetchval("SELECT balance FROM accounts WHERE account_id = 'acc_hot'")
    assert balance == 60
