"""Sealing: every entry once, in bounded seals, without disturbing concurrent postings."""

import asyncio

import asyncpg
import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement, transaction
from recon_worker.sealing import chain
from recon_worker.sealing.chain import (
    SEAL_ROWS_MAX,
    Horizon,
    seal_next,
)
from recon_worker.sealing.format import GENESIS
from testkit.database.backlog import add_payments
from testkit.database.ledgers.seal_records import seal_hash
from testkit.database.ledgers.sealed import (
    add_entries,
    add_failed,
    add_reversed,
    leave_gap,
    seal_all,
    verify_all,
)
from testkit.database.ledgers.settled import FAST
from testkit.database.sql import Sql
from testkit.worker.own_system import running_worker

SEALS = "SELECT * FROM ledger_seals ORDER BY seq"
THREE_ENTRIES = Horizon(3, 0, frozenset())
RESULTS_BETWEEN = "SELECT * FROM reconciliation_results WHERE id BETWEEN $1 AND $2 ORDER BY id"


async def test_seals_match_their_documented_format(sql: Sql, engine: AsyncEngine) -> None:
    await add_entries(sql, 5)
    await seal_all(engine)
    await leave_gap(sql, 3)
    await add_entries(sql, 2)
    await sql.execute(
        "SET session_replication_role = replica;"
        " INSERT INTO ledger_entries (payment_id, account_id, currency, entry_type, direction,"
        " amount, account_seq, balance_after, created_at, reversal_id, posting_kind)"
        " VALUES (gen_random_uuid(), 'Zoë 3:x,', 'EUR', 'payment', 'credit', 1.5000, 1, -0.100,"
        " '1969-12-31T23:59:59.999999Z', NULL, 'payment'), (gen_random_uuid(), 'm', 'JPY',"
        " 'reversal', 'debit', 100, 1, 0, '9999-12-31T23:59:59.999999+14', gen_random_uuid(),"
        " 'reversal');"
        " SET session_replication_role = DEFAULT"
    )
    await seal_all(engine)
    await add_failed(sql, 3)
    await add_reversed(sql, 2)
    await seal_all(engine)

    of_id = {
        table: {row["id"]: row for row in await sql.fetch(f"SELECT * FROM {table}")}
        for table in ("payments", "reversals")
    }
    previous, covered, settled = bytes(32), 0, 0
    for row in await sql.fetch(SEALS):
        entries = await sql.fetch(
            "SELECT * FROM ledger_entries WHERE id BETWEEN $1 AND $2 ORDER BY id",
            row["from_entry_id"],
            row["to_entry_id"],
        )
        results = await sql.fetch(RESULTS_BETWEEN, row["from_result_id"], row["to_result_id"])
        assert (row["previous_hash"], row["from_entry_id"]) == (previous, covered + 1)
        assert row["from_result_id"] == settled + 1
        assert (row["entry_count"], row["result_count"]) == (len(entries), len(results))
        together = [
            (
                result,
                of_id["payments"].get(result["payment_id"]),
                of_id["reversals"].get(result["reversal_id"]),
            )
            for result in results
        ]
        assert row["seal_hash"] == seal_hash(row, entries, together)
        previous, covered, settled = row["seal_hash"], row["to_entry_id"], row["to_result_id"]
    assert (covered, settled) == (12, 5)
    assert await verify_all(engine) == []


async def test_seals_do_not_depend_on_a_sessions_output_settings(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_entries(sql, 3)
    await add_failed(sql, 3)
    await seal_all(engine)
    async with single_statement(engine) as connection:
        for setting in (
            "timezone = 'Pacific/Chatham'",
            "datestyle = 'German, DMY'",
            "intervalstyle = 'sql_standard'",
            "bytea_output = 'escape'",
            "extra_float_digits = -15",
        ):
            await connection.exec_driver_sql(f"SET {setting}")
        try:
            kept = await sql.fetchrow("SELECT entries_hash, results_hash FROM ledger_seals")
            assert kept is not None
            for query, sealed in zip(
                (chain.GATHER_ENTRIES, chain.GATHER_RESULTS), kept, strict=True
            ):
                assert (await connection.exec_driver_sql(query, (1, 3))).one().hash == sealed
        finally:
            await connection.invalidate()


async def test_a_backlog_is_sealed_in_bounded_seals(sql: Sql, engine: AsyncEngine) -> None:
    await add_entries(sql, SEAL_ROWS_MAX + 500)
    await add_failed(sql, 2 * SEAL_ROWS_MAX + 300)
    assert await seal_all(engine) == 3
    rows = await sql.fetch(SEALS)
    assert [row["entry_count"] for row in rows] == [SEAL_ROWS_MAX, 500, 0]
    assert [row["result_count"] for row in rows] == [SEAL_ROWS_MAX, SEAL_ROWS_MAX, 300]
    assert await seal_all(engine) == 0, "nothing new to seal"
    assert await verify_all(engine) == []


async def test_only_one_sealer_runs_at_a_time(sql: Sql, engine: AsyncEngine) -> None:
    await add_entries(sql, 3)
    async with transaction(engine) as tx:
        await tx.exec_driver_sql("SELECT FROM seal_verification FOR UPDATE")
        assert await seal_next(engine, THREE_ENTRIES) is None
    made = await asyncio.gather(*(seal_next(engine, THREE_ENTRIES) for _ in range(5)))
    assert len([one for one in made if one]) == 1


EARLIER_RELEASES_LOCK_ID = 7_021_781_955


@pytest.mark.parametrize("role", ["payments_api", "payments_readonly"])
async def test_no_other_role_can_stop_the_sealer(
    sql: Sql, engine: AsyncEngine, database_url: str, role: str
) -> None:
    await add_entries(sql, 3)
    squatter = await asyncpg.connect(database_url.replace("postgres@", f"{role}@"))
    try:
        await squatter.execute("SET default_transaction_read_only = off")
        await squatter.execute("BEGIN")
        await squatter.execute(f"SELECT pg_advisory_lock({EARLIER_RELEASES_LOCK_ID})")
        await squatter.execute("SELECT * FROM seal_verification, ledger_seals")
        assert await seal_next(engine, THREE_ENTRIES) is not None
        for strength in ("UPDATE", "KEY SHARE"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await squatter.execute(f"ROLLBACK; SELECT FROM seal_verification FOR {strength}")
    finally:
        await squatter.close()


async def test_a_sealer_of_an_earlier_release_may_seal_at_the_same_time(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_entries(sql, 3)
    async with transaction(engine) as earlier:
        await earlier.exec_driver_sql(f"SELECT pg_advisory_xact_lock({EARLIER_RELEASES_LOCK_ID})")
        entries = await chain._gather(earlier, chain.GATHER_ENTRIES, 0, 3)
        results = await chain._gather(earlier, chain.GATHER_RESULTS, 0, 0)
        await chain._append(earlier, GENESIS, entries, results, ())
        ours = asyncio.create_task(seal_next(engine, THREE_ENTRIES))
        await asyncio.sleep(0.3)
        assert not ours.done(), "it waits for the seal number that the other sealer is taking"
    with pytest.raises(IntegrityError, match="ledger_seals"):
        await ours
    assert await seal_next(engine, THREE_ENTRIES) is None
    assert await verify_all(engine) == []


async def test_a_failing_seal_leaves_nothing_and_frees_its_lock(
    sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_entries(sql, 3)

    async def die(*_: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(chain, "_append", die)
        with pytest.raises(ConnectionResetError):
            await seal_next(engine, THREE_ENTRIES)
    assert await sql.fetchval("SELECT count(*) FROM ledger_seals") == 0
    assert await seal_all(engine) == 1


async def test_a_chain_never_forks(sql: Sql, engine: AsyncEngine) -> None:
    await add_entries(sql, 3)
    await seal_all(engine)
    await sql.execute(
        "CREATE TEMP TABLE fork AS SELECT * FROM ledger_seals; UPDATE fork SET seq = 2"
    )
    with pytest.raises(asyncpg.UniqueViolationError):
        await sql.execute("INSERT INTO ledger_seals SELECT * FROM fork")


async def test_sealing_beside_busy_workers_reports_no_false_finding(
    sql: Sql, engine: AsyncEngine, worker_url_of_database: str
) -> None:
    await add_payments(sql, [(f"acc_{n % 7}", f"{n % 5}.13", "USD") for n in range(3000)])
    seals = 0
    async with running_worker(worker_url_of_database, batch_size=20, concurrency=3, **FAST):
        while await sql.fetchval("SELECT count(*) FROM payments WHERE status = 'pending'"):
            seals += await seal_all(engine)
            assert await verify_all(engine) == []
    seals += await seal_all(engine)
    assert await verify_all(engine) == []
    sealed = await sql.fetchrow("SELECT sum(entry_count), sum(result_count) FROM ledger_seals")
    entries = await sql.fetchval("SELECT count(*) FROM ledger_entries")
    assert sealed is not None
    assert tuple(sealed) == (entries, 3000)
    assert seals > 1
