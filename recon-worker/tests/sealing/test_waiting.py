"""Sealing waits for postings and results that commit late, and only for these."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement
from recon_worker.sealing.chain import (
    is_final,
    read_horizon,
)
from testkit.database.ledgers.sealed import (
    ADD_ENTRIES,
    add_entries,
    add_failed,
    seal_all,
    verify_all,
)
from testkit.database.sql import Sql


async def test_sealing_waits_for_a_posting_that_commits_late(
    sql: Sql, other: Sql, engine: AsyncEngine
) -> None:
    posting = other.transaction()
    await posting.start()
    await other.execute(ADD_ENTRIES, 2, 100)  # Ids 1 and 2, not visible yet.
    await add_entries(sql, 3)
    async with single_statement(engine) as connection:
        horizon = await read_horizon(connection)
        assert horizon.entry_id == 5
        assert not await is_final(connection, horizon)
        await posting.commit()
        assert await is_final(connection, horizon)
    await seal_all(engine)
    assert await sql.fetchval("SELECT entry_count FROM ledger_seals") == 5
    assert await verify_all(engine) == []


async def test_sealing_waits_for_a_posting_without_a_transaction_id(
    sql: Sql, other: Sql, engine: AsyncEngine
) -> None:
    await sql.execute(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN NEW; END $$;"
        " CREATE TRIGGER dawdle BEFORE INSERT ON ledger_entries FOR EACH ROW"
        " WHEN (NEW.account_seq > 500) EXECUTE FUNCTION dawdle();"
        " ALTER TABLE ledger_entries ENABLE ALWAYS TRIGGER dawdle"
    )
    try:
        await sql.execute("SELECT pg_advisory_lock(77)")
        posting = asyncio.create_task(other.execute(ADD_ENTRIES, 1, 500))
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not await sql.fetchval(waiting):  # noqa: ASYNC110 - Postgres has no event for it
            await asyncio.sleep(0.01)
        await add_entries(sql, 1)
        async with single_statement(engine) as connection:
            horizon = await read_horizon(connection)
            assert horizon.entry_id == 2, "id 1 was assigned, and is not visible"
            assert not await is_final(connection, horizon)
            await sql.execute("SELECT pg_advisory_unlock(77)")
            await posting
            assert await is_final(connection, horizon)
        await seal_all(engine)
        assert await sql.fetchval("SELECT entry_count FROM ledger_seals") == 2
        assert await verify_all(engine) == []
    finally:
        await sql.execute("DROP FUNCTION dawdle CASCADE")


async def test_sealing_waits_for_a_result_that_commits_late(
    sql: Sql, other: Sql, engine: AsyncEngine
) -> None:
    discarding = other.transaction()
    await discarding.start()
    await add_failed(other, 1)
    await add_failed(sql, 1)
    async with single_statement(engine) as connection:
        horizon = await read_horizon(connection)
        assert horizon.result_id == 2
        assert not await is_final(connection, horizon)
        await discarding.commit()
        assert await is_final(connection, horizon)
    await seal_all(engine)
    assert await sql.fetchval("SELECT result_count FROM ledger_seals") == 2
    assert await verify_all(engine) == []


async def test_a_posting_that_rolls_back_is_sealed_as_a_gap(
    sql: Sql, other: Sql, engine: AsyncEngine
) -> None:
    await add_entries(sql, 1)
    posting = other.transaction()
    await posting.start()
    await other.execute(ADD_ENTRIES, 4, 100)
    await posting.rollback()
    await add_entries(sql, 1)
    await seal_all(engine)
    ids = await sql.fetchval("SELECT entry_ids::text FROM ledger_seals")
    assert ids == "{[1,2),[6,7)}"
    assert await verify_all(engine) == []
