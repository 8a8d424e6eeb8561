"""The posting is exact for any batch, any number of workers, and any order."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement, transaction
from payments_core.queue import jobs as queue
from payments_core.queue.jobs import ClaimedJob, Lease, LeaseLost
from recon_worker.reconciliation.post import DecidedJob, clearing_shard, post_batch
from recon_worker.reconciliation.rules import decide
from testkit.database.backlog import add_payments, add_simple, set_source
from testkit.database.head_rows import until_a_transaction_waits
from testkit.database.sql import Sql
from testkit.model.ledger import assert_audit_is_clean, assert_ledger_is_of

EMPTY = """
SET session_replication_role = replica;
TRUNCATE payments, reversals, reversal_totals, recon_jobs, job_deaths,
    reconciliation_results, accounts, ledger_entries, ledger_seals
    RESTART IDENTITY;
SET session_replication_role = DEFAULT"""

# Few accounts and currencies, so that workers meet on them; amounts of every outcome.
WANTED = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["-1", "0", "1", "7", "100", "999999999999999"]),
        st.sampled_from(["USD", "JPY", "BHD"]),
    )
    | st.tuples(st.just("d"), st.sampled_from(["0.13", "-0.13", "5.13", "0.01"]), st.just("EUR")),
    min_size=1,
    max_size=40,
)


async def _claim(engine: AsyncEngine, limit: int) -> tuple[Lease, list[ClaimedJob]]:
    lease = queue.new_lease("worker", 60)
    async with single_statement(engine) as connection:
        return lease, await queue.claim(connection, lease, limit)


def _decided(jobs: Sequence[ClaimedJob]) -> list[DecidedJob]:
    return [DecidedJob(job, decide(job.amount)) for job in jobs]


async def _post_until_done(engine: AsyncEngine, name: str, sizes: Sequence[int]) -> int:
    """Claim and post batches of these sizes repeatedly until no job is left."""
    posted = 0
    while True:
        for size in sizes:
            lease, jobs = await _claim(engine, size)
            if not jobs:
                return posted
            async with transaction(engine) as tx:
                await post_batch(tx, lease, _decided(jobs), clearing_shard(name, 2))
            posted += len(jobs)


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    wanted=WANTED,
    sizes=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=3), min_size=1, max_size=4),
)
async def test_any_batches_by_any_workers_give_the_models_ledger(
    sql: Sql,
    engine: AsyncEngine,
    wanted: list[tuple[str, str, str]],
    sizes: list[list[int]],
) -> None:
    await sql.execute(EMPTY)
    stored = await add_payments(sql, wanted)
    posted = await asyncio.gather(
        *(_post_until_done(engine, f"w{n}", mine) for n, mine in enumerate(sizes))
    )
    assert sum(posted) == len(stored)
    await assert_ledger_is_of(sql, stored)
    await assert_audit_is_clean(engine)


async def test_many_workers_on_one_account_keep_its_balance_exact(
    sql: Sql, engine: AsyncEngine
) -> None:
    stored = await add_payments(sql, [("hot", f"{n}.{n % 100:02d}", "USD") for n in range(1, 601)])
    await asyncio.gather(*(_post_until_done(engine, f"w{n}", [20]) for n in range(6)))
    await assert_ledger_is_of(sql, stored)
    head = await sql.fetchrow("SELECT balance, seq FROM accounts WHERE account_id = 'hot'")
    assert head is not None
    assert tuple(head) == (sum(payment.amount for payment in stored), 600)


async def test_batches_with_accounts_in_opposite_orders_never_deadlock(
    sql: Sql, engine: AsyncEngine
) -> None:
    accounts = [f"acc_{n:02d}" for n in range(20)]
    rounds = [accounts, accounts[::-1]] * 15
    stored = await add_payments(sql, [(a, "1", "USD") for order in rounds for a in order])
    await asyncio.gather(*(_post_until_done(engine, f"w{n}", [20]) for n in range(6)))
    # A deadlock would have caused an error in one worker.
    await assert_ledger_is_of(sql, stored)


async def test_head_rows_are_locked_in_account_order(sql: Sql, engine: AsyncEngine) -> None:
    """Checks the locks themselves, because a deadlock would be retried without a trace."""
    accounts = [f"acc_{n:02d}" for n in range(20)]
    await add_payments(sql, [(account, "1", "USD") for account in accounts])
    await _post_until_done(engine, "w", [20])
    # Enough of each that the planner hashes the groups, as in larger batches.
    await add_payments(sql, [(account, "1", "USD") for account in accounts * 10])
    lease, jobs = await _claim(engine, 200)

    async def post() -> None:
        async with transaction(engine) as tx:
            await post_batch(tx, lease, _decided(jobs), "00")

    async with sql.transaction():
        await sql.execute("SELECT FROM accounts WHERE account_id = 'acc_10' FOR UPDATE")
        posting = asyncio.create_task(post())
        await until_a_transaction_waits(sql)
        free = (
            "SELECT account_id FROM accounts WHERE account_id LIKE 'acc%' ORDER BY account_id"
            " FOR UPDATE SKIP LOCKED"
        )
        async with single_statement(engine) as connection:
            unlocked = list((await connection.exec_driver_sql(free)).scalars())
    await posting
    assert unlocked == accounts[11:]


async def test_a_batch_with_a_lost_job_posts_nothing(sql: Sql, engine: AsyncEngine) -> None:
    await add_simple(sql, 3)
    lease, jobs = await _claim(engine, 3)
    await sql.execute("UPDATE recon_jobs SET lease_token = gen_random_uuid() WHERE id = 3")
    await _assert_rejected(sql, engine, lease, _decided(jobs))


async def test_a_settled_payment_posts_nothing(sql: Sql, engine: AsyncEngine) -> None:
    [payment, _] = await add_simple(sql, 2)
    lease, jobs = await _claim(engine, 2)
    await sql.execute(
        "UPDATE payments SET status = 'failed', settled_at = now(), updated_at = now()"
        " WHERE id = $1",
        payment.id,
    )
    await _assert_rejected(sql, engine, lease, _decided(jobs))


async def _assert_rejected(
    sql: Sql, engine: AsyncEngine, lease: Lease, decided: list[DecidedJob]
) -> None:
    async def post() -> None:
        async with transaction(engine) as tx:
            await post_batch(tx, lease, decided, "00")

    with pytest.raises(LeaseLost):
        await post()
    for table in ("ledger_entries", "reconciliation_results", "accounts"):
        assert await sql.fetchval(f"SELECT count(*) FROM {table}") == 0
    assert await sql.fetchval("SELECT count(*) FROM recon_jobs WHERE status = 'completed'") == 0


async def test_a_posted_batch_has_one_settlement_time_and_its_rules_version(
    sql: Sql, engine: AsyncEngine
) -> None:
    stored = await add_payments(sql, [("a", "5", "USD"), ("a", "5.13", "USD"), ("a", "-5", "USD")])
    await _post_until_done(engine, "w", [3])
    results = await sql.fetch("SELECT * FROM reconciliation_results ORDER BY recon_job_id")
    assert [result["payment_id"] for result in results] == [payment.id for payment in stored]
    assert [result["recon_job_id"] for result in results] == [1, 2, 3]
    assert {result["rule_version"] for result in results} == {1}
    assert [result["discrepancy_amount"] for result in results] == [None, Decimal("0.13"), None]
    settled = await sql.fetch("SELECT status, settled_at, updated_at FROM payments ORDER BY id")
    assert [row["status"] for row in settled] == ["completed", "completed", "failed"]
    assert len({row["settled_at"] for row in settled} | {row["updated_at"] for row in settled}) == 1


async def test_the_payment_leg_has_the_lower_id(sql: Sql, engine: AsyncEngine) -> None:
    await add_payments(sql, [("a", "1", "USD"), ("b", "2", "USD"), ("a", "3", "USD")])
    await _post_until_done(engine, "w", [3])
    legs = await sql.fetch("SELECT entry_type FROM ledger_entries ORDER BY id")
    assert [leg["entry_type"] for leg in legs] == ["payment", "clearing"] * 3


async def test_an_accounts_entry_times_never_decrease_even_if_the_clock_does(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_payments(sql, [("a", "1", "USD"), ("a", "1", "USD")])
    await _post_until_done(engine, "w", [1])
    # Simulates a clock that was set back by an hour.
    before = await sql.fetchval(
        "UPDATE accounts SET updated_at = now() + interval '1 h' WHERE account_id = 'a'"
        " RETURNING updated_at"
    )
    await add_payments(sql, [("a", "1", "USD")])
    await _post_until_done(engine, "w", [1])
    times = await sql.fetch(
        "SELECT created_at FROM ledger_entries WHERE account_id = 'a' ORDER BY account_seq"
    )
    assert [row[0] for row in times[:2]] < [before, before]
    assert [row[0] for row in times[2:]] == [before]


async def test_a_clearing_accounts_name_contains_the_source(sql: Sql, engine: AsyncEngine) -> None:
    for payment, source in zip(await add_simple(sql, 3), ("default", "bank-1", "00"), strict=True):
        await set_source(sql, payment, source)
    await _post_until_done(engine, "w", [3])
    query = "SELECT account_id FROM ledger_entries WHERE entry_type = 'clearing' ORDER BY id"
    shard = clearing_shard("w", 2)
    assert [row[0] for row in await sql.fetch(query)] == [
        f"sys:clearing:{shard}",
        f"sys:clearing:bank-1:{shard}",
        f"sys:clearing:00:{shard}",
    ]
    await assert_audit_is_clean(engine)


@pytest.mark.parametrize("shards", [1, 16, 100])
def test_a_lane_always_uses_the_same_shard_of_a_clearing_account(
    shards: int,
) -> None:
    names = {clearing_shard(f"worker-{n}/0", shards) for n in range(2000)}
    assert names == {f"{shard:02d}" for shard in range(shards)}
    assert clearing_shard("worker-1/0", shards) == clearing_shard("worker-1/0", shards)


async def test_a_ledger_entry_is_immutable_and_never_without_its_other_leg(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 1)
    await _post_until_done(engine, "w", [1])
    for change in (
        "UPDATE ledger_entries SET amount = 2",
        "DELETE FROM ledger_entries",
        "TRUNCATE ledger_entries",
    ):
        with pytest.raises(Exception, match="what is recorded there is never changed"):
            await sql.execute(change)
    one_leg = (
        "INSERT INTO ledger_entries (payment_id, account_id, currency, entry_type, direction,"
        " amount, account_seq, balance_after) SELECT id, account_id, currency, 'payment',"
        " 'credit', amount, 2, 2 FROM payments"
    )
    [other] = await add_simple(sql, 1)
    with pytest.raises(Exception, match=f"unbalanced posting of payment {other.id}"):
        await sql.execute(one_leg + " WHERE id = $1", other.id)
