"""The metrics of the whole system, from one observation."""

import time

import pytest

from payments_core.db.engine import create_engine, single_statement
from payments_core.queue import system_metrics
from payments_core.queue.system_metrics import clock_offset, observe_system
from testkit.database.backlog import add_simple
from testkit.database.ledgers.sealed import add_entries, add_failed
from testkit.database.sql import Sql
from testkit.observability.observing import observed_once


@pytest.mark.parametrize(
    ("asked", "told", "answered", "offset"),
    [
        (100.0, 100.1, 100.2, 0.0),
        (100.0, 100.0, 130.0, 0.0),  # A slow answer does not count as an offset.
        (700.0, 100.0, 701.0, 600.0),
        (100.0, 700.0, 101.0, -599.0),
    ],
)
def test_the_clock_offset_excludes_the_time_of_a_slow_answer(
    asked: float, told: float, answered: float, offset: float
) -> None:
    assert clock_offset(asked, told, answered) == offset


@pytest.mark.parametrize("ahead", [0.0, 660.0, -660.0])
async def test_a_clock_offset_to_the_database_is_reported(
    database_url: str, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    monkeypatch.setattr(system_metrics, "time", lambda: time.time() + ahead)
    told = await _samples(database_url)
    assert told["payments_clock_offset_seconds"] == pytest.approx(ahead, abs=30)


async def _samples(database_url: str) -> dict[str, float]:
    """Return the first sample of each family, from one observation."""
    engine = create_engine(database_url, application_name="test", pool_size=1)
    async with single_statement(engine) as connection:
        families = system_metrics.families(await system_metrics.observe(connection))
    await engine.dispose()
    return {family.name: family.samples[0].value for family in families if family.samples}


async def test_a_backups_age_begins_with_the_oldest_payment_until_there_is_one(
    database_url: str, sql: Sql
) -> None:
    assert (await _samples(database_url))["payments_backup_age_seconds"] == 0
    await add_simple(sql, 2)
    await sql.execute("SET session_replication_role = replica")  # A payment's time cannot change.
    oldest = "SELECT id FROM payments ORDER BY id LIMIT 1"
    await sql.execute(
        f"UPDATE payments SET created_at = now() - interval '2 h' WHERE id = ({oldest})"
    )
    assert (await _samples(database_url))["payments_backup_age_seconds"] == pytest.approx(
        7200, abs=60
    )
    await sql.execute("UPDATE last_backup SET taken_at = now() - interval '5 min'")
    try:
        told = await _samples(database_url)
    finally:
        await sql.execute("UPDATE last_backup SET taken_at = NULL")
    assert told["payments_backup_age_seconds"] == pytest.approx(300, abs=60)


async def test_unsealed_entries_and_results_are_reported(database_url: str, sql: Sql) -> None:
    told = await _samples(database_url)
    assert told["payments_ledger_unsealed_entries"] == 0
    assert told["payments_ledger_unsealed_age_seconds"] == 0
    await add_failed(sql, 1)
    told = await _samples(database_url)
    assert told["payments_ledger_unsealed_entries"] == 0
    assert 0 < told["payments_ledger_unsealed_age_seconds"] < 60
    await add_entries(sql, 10)
    told = await _samples(database_url)
    assert told["payments_ledger_unsealed_entries"] == 10
    assert told["payments_ledger_unsealed_age_seconds"] > 60


async def test_a_changed_collation_version_is_reported(database_url: str, sql: Sql) -> None:
    assert (await _samples(database_url))["payments_postgres_collation_matches"] == 1
    found = "SELECT datcollversion FROM pg_database WHERE datname = current_database()"
    made = await sql.fetchval(found)
    await _set_collation_version(sql, "0")
    try:
        told = await _samples(database_url)
    finally:
        await _set_collation_version(sql, made)
    assert told["payments_postgres_collation_matches"] == 0


async def _set_collation_version(sql: Sql, version: str | None) -> None:
    change = "UPDATE pg_database SET datcollversion = $1 WHERE datname = current_database()"
    await sql.execute(change, version)


async def test_the_metrics_end_with_their_last_observation(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(database_url, application_name="test", pool_size=1)
    registry = await observed_once(monkeypatch, system_metrics, observe_system(engine))
    await engine.dispose()
    assert registry.get_sample_value("payments_workers_alive") == 0
    with monkeypatch.context() as later:
        now = time.monotonic()
        later.setattr(time, "monotonic", lambda: now + system_metrics.SHOWN_SECONDS_MAX)
        assert registry.get_sample_value("payments_workers_alive") is None
