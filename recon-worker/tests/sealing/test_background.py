"""Sealing in the background: seals, logs the head, verifies again, and reports findings."""

import json
import logging
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement
from recon_worker.sealing import background
from recon_worker.sealing.background import Sealer
from recon_worker.sealing.heads import check_heads, read_heads
from testkit.database.ledgers.sealed import add_entries, rewrite_chain, seal_all, verify_all
from testkit.database.ledgers.settled import break_ledger
from testkit.database.sql import Sql
from testkit.waiting import until
from testkit.worker.worker_process import WorkerProcess

PROBLEM = "SELECT problem, problem_seq, problem_entry_id FROM seal_verification"


def shown(name: str) -> float | None:
    return REGISTRY.get_sample_value(f"recon_worker_seal_{name}")


def sealer(engine: AsyncEngine, keys: list[bytes] | None = None, rate: int = 0) -> Sealer:
    return Sealer(engine, keys or [], 0.001, rate * 1000)


async def problem(sql: Sql) -> tuple[object, ...]:
    return tuple(await sql.fetchrow(PROBLEM) or ())


async def test_a_round_seals_new_rows_and_reports_it(sql: Sql, engine: AsyncEngine) -> None:
    await add_entries(sql, 10)
    before = shown("entries_total") or 0
    await sealer(engine).round()
    assert shown("entries_total") == before + 10
    assert (shown("head_seq"), shown("chain_holds")) == (1, 1)
    assert await verify_all(engine) == []


async def test_rows_before_an_open_writer_are_sealed_once_it_has_ended(
    sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "HORIZON_WAIT_SECONDS", 0.1)
    rounds = sealer(engine)
    await add_entries(sql, 10)
    async with sql.transaction():
        await sql.execute("LOCK TABLE ledger_entries IN ROW EXCLUSIVE MODE")
        await rounds.round()
        assert shown("head_seq") == 0
    await rounds.round()
    assert shown("head_seq") == 1


async def test_the_head_of_each_seal_is_logged(
    sql: Sql, engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rounds = sealer(engine)
    for _ in range(2):
        await add_entries(sql, 2)
        await rounds.round()
    lines = [
        json.dumps(
            {
                "event": record.message,
                "seq": vars(record)["seq"],
                "seal_hash": vars(record)["seal_hash"],
            }
        )
        for record in caplog.records
        if record.message == "ledger_sealed"
    ]
    heads = read_heads(lines)
    assert [head.seq for head in heads] == [1, 2]
    async with single_statement(engine) as connection:
        assert await check_heads(connection, heads) == []


async def test_the_removal_of_seals_that_a_worker_saw_is_reported(
    sql: Sql, engine: AsyncEngine
) -> None:
    rounds = sealer(engine)
    for _ in range(2):
        await add_entries(sql, 2)
        await rounds.round()
    await break_ledger(sql, "DELETE FROM ledger_seals WHERE seq = 2")
    await rounds.round()
    assert await problem(sql) == ("head_missing", 2, None)
    assert shown("chain_holds") == 0
    assert await verify_all(engine) == [], "sealing continues, and the chain is valid in itself"


async def test_a_chain_rewritten_under_a_worker_is_reported(sql: Sql, engine: AsyncEngine) -> None:
    rounds = sealer(engine)
    await add_entries(sql, 2)
    await rounds.round()
    await break_ledger(sql, "UPDATE ledger_entries SET amount = 99 WHERE id = 1")
    await rewrite_chain(sql, engine)
    await rounds.round()
    assert await problem(sql) == ("head_rewritten", 1, None)


async def test_a_chain_without_the_keys_signature_is_not_extended(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_entries(sql, 2)
    await seal_all(engine)
    await add_entries(sql, 2)
    await sealer(engine, [b"k" * 32]).round()
    assert await problem(sql) == ("seal_unsigned", 1, None)
    assert await sql.fetchval("SELECT count(*) FROM ledger_seals") == 1


async def test_old_seals_are_verified_again_in_small_steps(sql: Sql, engine: AsyncEngine) -> None:
    rounds = sealer(engine, rate=5)
    for _ in range(4):
        await add_entries(sql, 4)
        await seal_all(engine)
    places = []
    for _ in range(3):
        await rounds.round()
        places.append(shown("verified_seq"))
    assert places == [2, 4, 0], "five entries per round: two seals of four"
    completed = shown("verified_timestamp_seconds")
    assert completed is not None
    await rounds.round()
    assert shown("verified_seq") == 0, "the next pass begins an hour after the last"

    await break_ledger(sql, "UPDATE ledger_entries SET amount = 99 WHERE id = 7")
    await sql.execute("UPDATE seal_verification SET pass_started_at = now() - interval '2 hours'")
    await rounds.round()
    assert await problem(sql) == ("altered", 2, 7)
    assert shown("chain_holds") == 0


async def test_two_workers_do_not_verify_the_same_seals(sql: Sql, engine: AsyncEngine) -> None:
    await add_entries(sql, 4)
    await seal_all(engine)
    async with sql.transaction():
        await sql.execute("SELECT * FROM seal_verification FOR UPDATE")
        await sealer(engine, rate=5).round()  # It does not wait for the other worker either.
    assert await sql.fetchval("SELECT verified_at FROM seal_verification") is None


async def test_a_killed_sealer_leaves_no_partial_seal_and_no_lock(
    sql: Sql, engine: AsyncEngine, worker_url_of_database: str, tmp_path: Path
) -> None:
    async def halfway() -> bool:
        waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'ledger_seals'::regclass"
        return bool(await sql.fetchval(f"{waiting} AND NOT granted"))

    async def sealed() -> bool:
        return bool(await sql.fetchval("SELECT count(*) FROM ledger_seals"))

    await add_entries(sql, 50)
    options = {"RECON_WORKER_SEAL_INTERVAL_SECONDS": "0.05"}
    async with sql.transaction():
        await sql.execute("LOCK TABLE ledger_seals IN SHARE MODE")
        killed = WorkerProcess(worker_url_of_database, tmp_path / "log", **options)
        try:
            await until(halfway, 60)
        finally:
            killed.kill()
    another = WorkerProcess(worker_url_of_database, tmp_path / "log", **options)
    try:
        await until(sealed, 60)
    finally:
        another.kill()
    assert await sql.fetchval("SELECT array_agg(entry_count) FROM ledger_seals") == [50]
    assert await verify_all(engine) == []
