"""The auditor: it skips no row and hardly affects a busy worker."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from prometheus_client import REGISTRY
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement
from payments_core.domain.ids import first_id_at
from recon_worker.audit import auditor, scheduler, windows
from recon_worker.audit.auditor import audit
from recon_worker.audit.findings import Mode
from recon_worker.audit.invariants import INVARIANTS
from testkit.database.backlog import add_payments
from testkit.database.ledgers.audit_command import audit_command
from testkit.database.ledgers.sealed import add_entries
from testkit.database.ledgers.settled import FAST, break_ledger, findings_of, until_all_settled
from testkit.database.sql import Sql
from testkit.model.ledger import assert_audit_is_clean
from testkit.worker.own_system import running_worker


@pytest.mark.usefixtures("settled")
async def test_the_command_reports_success_or_each_finding(
    sql: Sql, worker_url_of_database: str
) -> None:
    status, text = await audit_command(worker_url_of_database)
    assert (status, text.splitlines()[-1]) == (0, "all invariants hold")
    assert text.count("ok    ") == len(INVARIANTS)

    await break_ledger(sql, "UPDATE accounts SET seq = 77 WHERE account_id = 'b'")
    status, text = await audit_command(worker_url_of_database, "--full")
    assert status == 1
    assert "BROKEN  head_row_is_the_last_entry" in text
    assert "account_id=b" in text
    assert text.splitlines()[-1] == f"1 of {len(INVARIANTS)} invariants broken"


@pytest.mark.usefixtures("settled")
async def test_the_gauge_shows_a_violation_until_a_full_audit_clears_it(
    sql: Sql, engine: AsyncEngine
) -> None:
    def gauge() -> float | None:
        labels = {"invariant": "head_row_is_the_last_entry"}
        return REGISTRY.get_sample_value("recon_ledger_invariant_holds", labels)

    balance = await sql.fetchval("SELECT balance FROM accounts WHERE account_id = 'b'")
    await break_ledger(sql, "UPDATE accounts SET balance = 1, credits = 1 WHERE account_id = 'b'")
    await scheduler._audit_if_due(engine, 0)
    assert gauge() == 0
    repair = f"UPDATE accounts SET balance = {balance}, credits = {balance}"
    await break_ledger(sql, f"{repair} WHERE account_id = 'b'")
    await scheduler._audit_if_due(engine, 0)
    assert gauge() == 0, "an incremental audit does not check that row again"
    await findings_of(engine, "full")
    await scheduler._audit_if_due(engine, 3600)
    assert gauge() == 1


@pytest.mark.usefixtures("settled")
async def test_an_incremental_audit_checks_only_new_rows(
    sql: Sql, engine: AsyncEngine, worker_url_of_database: str
) -> None:
    await findings_of(engine, "incremental")
    first = await sql.fetchrow("SELECT * FROM audit_progress")
    assert first is not None
    assert first["entries_verified_to"] == await sql.fetchval("SELECT max(id) FROM ledger_entries")

    windows = await _windows_of(engine)
    assert windows["ledger_entries"] == windows["reconciliation_results"] == []

    await add_payments(sql, [("c", "1", "USD")])
    async with running_worker(worker_url_of_database, **FAST):
        await until_all_settled(sql)
    windows = await _windows_of(engine)
    assert windows["ledger_entries"] == [(first["entries_verified_to"], 8)]
    assert set(windows["reconciliation_results"]) == {(4, 5)}


async def _add_late(sql: Sql, fingerprint: str = "request_fingerprint") -> None:
    """Store two payments like an API whose clock is an hour behind."""
    for made in await add_payments(sql, [("late", "1", "USD"), ("late", "2", "USD")]):
        first = first_id_at(datetime.now(UTC), -timedelta(hours=1))
        late = UUID(int=first.int | made.id.int % 2**80)
        await break_ledger(
            sql,
            f"UPDATE recon_jobs SET payment_id = '{late}' WHERE payment_id = '{made.id}';"
            f" UPDATE payments SET id = '{late}', request_fingerprint = {fingerprint}"
            f" WHERE id = '{made.id}'",
        )


@pytest.mark.usefixtures("settled")
async def test_payments_with_ids_of_a_slow_clock_are_audited(sql: Sql, engine: AsyncEngine) -> None:
    await findings_of(engine, "incremental")
    await _add_late(sql)
    findings = await findings_of(engine, "incremental")
    assert all(finding.offending == 0 for finding in findings.values())

    await _add_late(sql, "sha256('another request')")
    findings = await findings_of(engine, "incremental")
    assert findings["key_names_one_request"].offending == 2


@pytest.mark.usefixtures("settled")
async def test_a_payment_settled_behind_the_bookmark_is_audited_again(
    sql: Sql, engine: AsyncEngine, worker_url_of_database: str
) -> None:
    await _add_late(sql)
    await findings_of(engine, "incremental")
    # Its job is behind the bookmark, and pruned before the audit that reads its result.
    await sql.execute(
        "UPDATE recon_jobs SET created_at = now() - interval '1 h' WHERE status = 'pending';"
        " UPDATE audit_progress SET updated_at = now() + interval '1 h'"
    )
    async with running_worker(worker_url_of_database, **FAST):
        await until_all_settled(sql)
    await break_ledger(
        sql,
        "DELETE FROM recon_jobs;"
        " UPDATE payments SET updated_at = updated_at + interval '1 s' WHERE account_id = 'late'",
    )
    assert (await findings_of(engine, "incremental"))["settled_once"].offending == 2


@pytest.mark.usefixtures("settled")
async def test_a_late_payment_is_audited_after_an_audit_that_did_not_wait(
    sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await findings_of(engine, "incremental")
    before = await sql.fetchval("SELECT updated_at FROM audit_progress")
    await _add_late(sql, "sha256('another request')")
    with monkeypatch.context() as patched:
        patched.setattr(windows, "HORIZON_WAIT_SECONDS", 0.3)
        async with sql.transaction():
            await sql.execute("LOCK TABLE recon_jobs IN ROW EXCLUSIVE MODE")
            findings = await findings_of(engine, "incremental")
    assert findings["key_names_one_request"].offending == 0
    assert await sql.fetchval("SELECT updated_at FROM audit_progress") == before
    assert (await findings_of(engine, "incremental"))["key_names_one_request"].offending == 2


async def _windows_of(engine: AsyncEngine) -> dict[str, list[tuple[Any, Any]]]:
    """Return the (lo, hi] windows of one incremental audit."""
    chunks = windows.chunks
    seen: dict[str, list[tuple[Any, Any]]] = {}

    async def watched(connection: Any, window: Any, start: Any, end: Any) -> Any:
        pairs = seen.setdefault(str(window), [])
        async for lo, hi in chunks(connection, window, start, end):
            pairs.append((lo, hi))
            yield lo, hi

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auditor, "chunks", watched)
        await findings_of(engine, "incremental")
    return seen


@pytest.mark.usefixtures("settled")
async def test_a_large_ledger_is_audited_in_contiguous_chunks(
    sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "CHUNK_ROWS", 2)
    assert (await _windows_of(engine))["ledger_entries"] == [(0, 2), (2, 4), (4, 6)]
    await break_ledger(sql, "UPDATE ledger_entries SET balance_after = 999 WHERE id IN (1, 6)")
    finding = (await findings_of(engine, "full"))["running_balance_adds_up"]
    assert {1, 6} <= {offender["id"] for offender in finding.offenders}


@pytest.mark.parametrize("table", windows.NUMBERED)
@pytest.mark.usefixtures("settled")
async def test_an_audit_waits_for_open_transactions_with_lower_ids(
    sql: Sql, engine: AsyncEngine, table: str
) -> None:
    async with sql.transaction():
        await sql.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")  # As every INSERT does.
        auditing = asyncio.create_task(audit(engine, "incremental"))
        await asyncio.sleep(0.5)
        waited = not auditing.done()
    assert await auditing is not None
    assert waited
    assert await sql.fetchval("SELECT entries_verified_to FROM audit_progress") == 6


@pytest.mark.usefixtures("settled")
async def test_an_audit_misses_no_entry_of_a_transaction_that_has_no_id_yet(
    sql: Sql, engine: AsyncEngine, database_url: str
) -> None:
    """An INSERT takes its table's lock, then its row's id, and only then its transaction's id."""
    writer = await asyncpg.connect(database_url)
    try:
        await writer.execute("SET session_replication_role = replica; BEGIN")
        await writer.execute("LOCK TABLE ledger_entries IN ROW EXCLUSIVE MODE")
        entry_id = await writer.fetchval("SELECT nextval('ledger_entries_id_seq')")
        await add_entries(sql, 1)
        auditing = asyncio.create_task(audit(engine, "incremental"))
        await asyncio.wait({auditing}, timeout=0.5)
        payment_id = await writer.fetchval(
            "INSERT INTO ledger_entries (id, payment_id, account_id, currency, entry_type,"
            " direction, amount, account_seq, balance_after) OVERRIDING SYSTEM VALUE VALUES"
            " ($1, gen_random_uuid(), 'late', 'USD', 'payment', 'credit', 1, 1, 1)"
            " RETURNING payment_id",
            entry_id,
        )
        await writer.execute("COMMIT")
    finally:
        await writer.close()
    findings = await auditing
    assert findings is not None
    offenders = {f.invariant.name: f.offenders for f in findings}["posting_balances"]
    assert payment_id in {offender["payment_id"] for offender in offenders}


@pytest.mark.usefixtures("settled")
async def test_an_audit_stops_waiting_for_a_transaction_that_does_not_end(
    sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "HORIZON_WAIT_SECONDS", 0.3)
    async with sql.transaction():
        await sql.execute("LOCK TABLE ledger_entries IN ROW EXCLUSIVE MODE")
        assert await audit(engine, "incremental") is not None
    assert await sql.fetchval("SELECT entries_verified_to FROM audit_progress") == 0


async def test_audits_beside_busy_workers_report_no_false_finding(
    sql: Sql, engine: AsyncEngine, worker_url_of_database: str
) -> None:
    wanted = [(f"acc_{n % 7}", f"{n % 5}.13" if n % 3 else "2", "USD") for n in range(1500)]
    modes: tuple[Mode, ...] = ("incremental", "full", "incremental", "full")
    async with running_worker(worker_url_of_database, batch_size=20, concurrency=3):
        for mode in modes:
            await add_payments(sql, wanted)  # The workers settle these during the audit.
            findings = await findings_of(engine, mode)
            assert {n: f.offenders for n, f in findings.items() if f.offending} == {}


async def test_an_audit_leaves_the_pools_connections_unchanged(engine: AsyncEngine) -> None:
    await assert_audit_is_clean(engine)
    async with single_statement(engine) as connection:
        mode = (await connection.exec_driver_sql("SHOW plan_cache_mode")).scalar()
        idle = await connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout")
        locks = await connection.exec_driver_sql(
            "SELECT count(*) FROM pg_locks WHERE relation = 'audit_progress'::regclass"
        )
        assert (mode, idle.scalar(), locks.scalar()) == ("force_generic_plan", "15s", 0)


@pytest.mark.usefixtures("settled")
async def test_offending_rows_are_stored_until_a_full_audit_finds_none(
    sql: Sql, engine: AsyncEngine
) -> None:
    stored = "SELECT offenders::text FROM audit_findings WHERE invariant = 'settled_once'"
    paid = await sql.fetchval("SELECT id::text FROM payments ORDER BY id LIMIT 1")
    await break_ledger(
        sql, f"UPDATE payments SET updated_at = now() + interval '1 h' WHERE id = '{paid}'"
    )
    await audit(engine, "full")
    nothing = {"accountId": None, "currency": None, "jobId": None}
    assert json.loads(await sql.fetchval(stored)) == [{"paymentId": paid, **nothing}]
    await audit(engine, "incremental")
    assert paid in await sql.fetchval(stored)
    await break_ledger(sql, f"UPDATE payments SET updated_at = settled_at WHERE id = '{paid}'")
    await audit(engine, "full")
    assert json.loads(await sql.fetchval(stored)) == []
