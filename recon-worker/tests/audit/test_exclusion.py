"""One auditor at a time: its lock stops no other work and is always freed."""

import asyncio
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db import engine as db_engine
from payments_core.db.engine import create_engine, single_statement
from recon_worker.audit import auditor as audit_module
from recon_worker.audit.auditor import audit
from recon_worker.audit.exclusion import alone
from recon_worker.audit.findings import last_findings
from testkit.database.ledgers.settled import break_ledger, findings_of
from testkit.database.sql import Sql
from testkit.model.ledger import assert_audit_is_clean


async def test_of_two_concurrent_audits_only_one_runs(sql: Sql, engine: AsyncEngine) -> None:
    async with alone(engine) as locked:
        assert locked
        assert await audit(engine, "incremental") is None
    await assert_audit_is_clean(engine)


EARLIER_RELEASES_LOCK_ID = 7_021_781_954


@pytest.mark.parametrize("role", ["payments_api", "payments_readonly"])
async def test_no_other_role_can_stop_the_auditor(
    engine: AsyncEngine, database_url: str, role: str
) -> None:
    squatter = await asyncpg.connect(database_url.replace("postgres@", f"{role}@"))
    try:
        await squatter.execute("SET default_transaction_read_only = off")
        await squatter.execute("BEGIN")
        await squatter.execute(f"SELECT pg_advisory_lock({EARLIER_RELEASES_LOCK_ID})")
        await squatter.execute("SELECT * FROM audit_progress")
        await assert_audit_is_clean(engine)
        for mode in ("ROW SHARE", "SHARE UPDATE EXCLUSIVE", "ACCESS EXCLUSIVE"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await squatter.execute(f"ROLLBACK; LOCK TABLE audit_progress IN {mode} MODE")
    finally:
        await squatter.close()


async def test_the_lock_blocks_neither_vacuum_nor_writers(engine: AsyncEngine, sql: Sql) -> None:
    async with alone(engine) as locked:
        assert locked
        held = await sql.fetch(
            "SELECT mode, backend_xid, backend_xmin FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE relation = 'audit_progress'::regclass"
        )
        assert [tuple(row) for row in held] == [("ShareUpdateExclusiveLock", None, None)]
        await sql.execute("UPDATE audit_progress SET updated_at = now()")


async def test_the_lock_outlasts_the_timeout_of_idle_transactions(
    worker_url_of_database: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_engine, "IDLE_IN_TRANSACTION_TIMEOUT_SECONDS", 1)
    not_waiting = create_engine(worker_url_of_database, application_name="test", pool_size=1)
    locks = "SELECT count(*) FROM pg_locks WHERE relation = 'audit_progress'::regclass"
    async with alone(not_waiting):
        await asyncio.sleep(1.5)
        assert await sql.fetchval(locks) == 1
    assert await sql.fetchval(locks) == 0
    await not_waiting.dispose()


@pytest.mark.usefixtures("settled")
async def test_a_failed_audit_frees_its_lock_and_keeps_its_findings(
    sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await break_ledger(sql, "UPDATE ledger_entries SET balance_after = 999 WHERE id = 1")
    rows = audit_module._rows

    async def fail_at_results(connection: Any, query: str, **among: Any) -> Any:
        if "FROM reconciliation_results" in query:
            raise RuntimeError("interrupted")
        return await rows(connection, query, **among)

    monkeypatch.setattr(audit_module, "_rows", fail_at_results)
    with pytest.raises(RuntimeError):
        await audit(engine, "incremental")
    monkeypatch.setattr(audit_module, "_rows", rows)

    assert (await findings_of(engine, "incremental"))["running_balance_adds_up"].offending == 0
    async with single_statement(engine) as connection:
        stored, _ = await last_findings(connection)
    assert stored["running_balance_adds_up"] > 0
    assert await sql.fetchval("SELECT entries_verified_to FROM audit_progress") == 6
