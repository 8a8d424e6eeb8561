"""Metrics of the whole system: queue, ledger audit, Postgres; read every 5 s.

The API runs it, because the API also runs while no worker does. Postgres is queried once an
interval, however often /metrics is scraped, and no query slows down as history grows.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic, time
from typing import Any

from prometheus_client import Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import single_statement
from payments_core.domain.statuses import WORKER_ALIVE_SECONDS
from payments_core.observability.metrics import Observed
from payments_core.queue.maintenance import DEPTH, QueueDepth
from payments_core.repeat import every

OBSERVE_INTERVAL_SECONDS = 5.0
SHOWN_SECONDS_MAX = 30.0
HOT_TABLES = "accounts", "ledger_entries", "payments", "recon_jobs", "reconciliation_results"

# Gaps in the ids count as entries. An early seal has no results: those of the last that has any.
UNSEALED = """
SELECT (SELECT coalesce(max(id), 0) FROM ledger_entries) - to_entry_id AS unsealed,
       extract(epoch FROM now() - least(
           (SELECT created_at FROM ledger_entries WHERE id > to_entry_id ORDER BY id LIMIT 1),
           (SELECT created_at FROM reconciliation_results
            WHERE id > to_result_id ORDER BY id LIMIT 1)))::float8 AS unsealed_age
FROM (SELECT coalesce((SELECT to_entry_id FROM ledger_seals ORDER BY seq DESC LIMIT 1), 0)
                 AS to_entry_id,
             coalesce((SELECT to_result_id FROM ledger_seals WHERE to_result_id IS NOT NULL
                       ORDER BY seq DESC LIMIT 1), 0) AS to_result_id) AS sealed"""

# One statement, so that observing costs an idle database almost nothing.
STATE = f"""
SELECT
    depth.*,
    unsealed.*,
    oldest_transaction_age_seconds() AS oldest_transaction,
    (SELECT count(*) FROM workers
     WHERE seen_at > now() - interval '{WORKER_ALIVE_SECONDS} s') AS workers,
    (SELECT extract(epoch FROM max(checked_at))::float8 FROM audit_findings) AS audited_at,
    (SELECT coalesce(max(id), 0) FROM ledger_entries)
        - (SELECT entries_verified_to FROM audit_progress) AS unaudited,
    (SELECT jsonb_object_agg(invariant, offending) FROM audit_findings)::text AS findings,
    (SELECT problem IS NULL FROM seal_verification) AS seals_hold,
    (SELECT jsonb_agg(to_jsonb(hot) ORDER BY relname) FROM (
        SELECT relname, n_live_tup, n_dead_tup, pg_total_relation_size(relid) AS bytes
        FROM pg_stat_user_tables
        WHERE schemaname = 'public' AND relname IN {HOT_TABLES}) AS hot)::text AS tables,
    extract(epoch FROM now() - coalesce(
        (SELECT taken_at FROM last_backup),
        (SELECT created_at FROM payments ORDER BY id LIMIT 1)))::float8 AS backup_age,
    (SELECT datcollversion IS NULL
            OR datcollversion IS NOT DISTINCT FROM pg_database_collation_actual_version(oid)
     FROM pg_database WHERE datname = current_database()) AS collation_matches,
    xact_commit, xact_rollback, blks_hit, blks_read, deadlocks, numbackends,
    extract(epoch FROM clock_timestamp())::float8 AS database_time
FROM pg_stat_database, ({DEPTH}) AS depth, ({UNSEALED}) AS unsealed
WHERE datname = current_database()"""

OBSERVING_SECONDS = Gauge(
    "payments_observing_seconds", "Duration of the last read of these figures."
)


@dataclass(frozen=True, slots=True)
class Observation:
    """The system's state at one moment."""

    clock_offset_seconds: float
    depth: QueueDepth
    state: Any
    tables: list[dict[str, Any]]
    findings: dict[str, int]


async def observe_system(engine: AsyncEngine) -> None:
    """Register the metrics and keep them fresh until cancelled."""
    observed = Observed(families, SHOWN_SECONDS_MAX)

    async def read() -> None:
        async with single_statement(engine) as connection:
            at = monotonic()
            observed.set(at, await observe(connection))
        OBSERVING_SECONDS.set(monotonic() - at)

    await every(OBSERVE_INTERVAL_SECONDS, read, "observation_failed")


async def observe(connection: AsyncConnection) -> Observation:
    """Read the figures."""
    asked = time()
    state = (await connection.exec_driver_sql(STATE)).one()
    depth = QueueDepth(
        state.pending, state.processing, state.failed, state.oldest_ready_age_seconds
    )
    tables = json.loads(state.tables or "[]")
    offset = clock_offset(asked, state.database_time, time())
    return Observation(offset, depth, state, tables, json.loads(state.findings or "{}"))


def clock_offset(asked: float, database_time: float, answered: float) -> float:
    """Return the seconds by which this clock is ahead of the database's.

    0 if the database's time lies between question and answer: no slow answer seems an offset.
    """
    return max(0.0, asked - database_time) + min(0.0, answered - database_time)


def families(seen: Observation) -> Iterable[Metric]:
    """Return the metric families of an observation."""
    yield from _queue_families(seen)
    yield from _ledger_families(seen)
    yield from _postgres_gauges(seen)
    yield from _table_families(seen)
    yield from _postgres_counters(seen)


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=value)


def _labelled(
    name: str, documentation: str, label: str, values: Iterable[tuple[str, float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for labelled, value in values:
        family.add_metric([labelled], value)
    return family


def _queue_families(seen: Observation) -> Iterable[Metric]:
    depth = seen.depth
    yield _labelled(
        "payments_queue_jobs",
        "Jobs by status, counted up to 10,000; failed is a dead letter.",
        "status",
        [
            ("pending", depth.pending),
            ("processing", depth.processing),
            ("failed", depth.failed),
        ],
    )
    yield _gauge(
        "payments_queue_oldest_ready_age_seconds",
        "Time for which the oldest claimable job has been ready; 0 if there is none.",
        max(0.0, depth.oldest_ready_age_seconds or 0.0),
    )
    yield _gauge(
        "payments_workers_alive",
        f"Workers with a heartbeat within {WORKER_ALIVE_SECONDS} s.",
        seen.state.workers,
    )


def _ledger_families(seen: Observation) -> Iterable[Metric]:
    yield _labelled(
        "payments_ledger_invariant_holds",
        "1 if the auditor found no violation, otherwise 0.",
        "invariant",
        [(name, 0 if offending else 1) for name, offending in sorted(seen.findings.items())],
    )
    yield _gauge(
        "payments_ledger_unaudited_entries",
        "Ledger entries that the auditor has not checked yet.",
        max(0, seen.state.unaudited),
    )
    yield _gauge(
        "payments_ledger_unsealed_entries",
        "Unsealed ledger entries, including gaps in their ids.",
        max(0, seen.state.unsealed),
    )
    yield _gauge(
        "payments_ledger_unsealed_age_seconds",
        "Age of the oldest unsealed entry or result; 0 if all are sealed.",
        max(0.0, seen.state.unsealed_age or 0.0),
    )
    yield _gauge(
        "payments_ledger_seals_hold",
        "0 from the first difference between rows and seals until an audit clears it; otherwise 1.",
        0 if seen.state.seals_hold is False else 1,
    )
    if seen.state.audited_at is not None:
        yield _gauge(
            "payments_audit_last_timestamp_seconds",
            "End of the last audit, in Unix time.",
            seen.state.audited_at,
        )


def _postgres_gauges(seen: Observation) -> Iterable[Metric]:
    state = seen.state
    yield _gauge(
        "payments_postgres_oldest_transaction_age_seconds",
        "Age of the oldest open transaction; vacuum cannot remove row versions that died since.",
        max(0.0, state.oldest_transaction),
    )
    yield _gauge(
        "payments_clock_offset_seconds",
        "Time by which this process's clock is ahead of the database's; negative if behind.",
        seen.clock_offset_seconds,
    )
    yield _gauge(
        "payments_backup_age_seconds",
        "Age of the last backup; before the first one, of the oldest payment; 0 without payments.",
        max(0.0, state.backup_age or 0.0),
    )
    yield _gauge(
        "payments_postgres_collation_matches",
        "1 if the database's collation has the server's version; 0: indexes may be out of order.",
        state.collation_matches,
    )
    yield _gauge("payments_postgres_backends", "Connections to the database.", state.numbackends)


def _table_families(seen: Observation) -> Iterable[Metric]:
    for name, documentation, column in (
        ("payments_postgres_table_live_rows", "Live rows, estimated.", "n_live_tup"),
        ("payments_postgres_table_dead_rows", "Dead rows, estimated.", "n_dead_tup"),
        ("payments_postgres_table_bytes", "Size with indexes and TOAST.", "bytes"),
    ):
        rows = [(table["relname"], float(table[column])) for table in seen.tables]
        yield _labelled(name, documentation, "table", rows)


def _postgres_counters(seen: Observation) -> Iterable[Metric]:
    state = seen.state
    for name, documentation, label, values in (
        (
            "payments_postgres_transactions",
            "Ended transactions, by end.",
            "end",
            [("commit", state.xact_commit), ("rollback", state.xact_rollback)],
        ),
        (
            "payments_postgres_blocks_read",
            "Blocks read, by source.",
            "source",
            [("cache", state.blks_hit), ("disk", state.blks_read)],
        ),
    ):
        family = CounterMetricFamily(name, documentation, labels=[label])
        for labelled, value in values:
            family.add_metric([labelled], value)
        yield family
    yield CounterMetricFamily(
        "payments_postgres_deadlocks", "Deadlocks that Postgres broke.", value=state.deadlocks
    )
