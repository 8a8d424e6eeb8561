"""Metrics of what is open in the reconciliation, read every 30 s.

The figures are of all sources, whichever worker imports or matches. They cost what is open and not
the history: lines and breaks that are settled are in no index that is read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import monotonic

from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import AnyRow, transaction
from payments_core.db.tables import one_of
from payments_core.domain.matching import BREAK_CLASSES, OPEN_ADJUSTMENT_STATUSES, VERDICTS
from payments_core.domain.statements import OPEN_LINE_STATUSES
from payments_core.matching.entries import OPEN_LINE
from payments_core.observability.metrics import Observed
from payments_core.repeat import every
from payments_core.statements.sources import stored_source_name
from recon_worker.statements.matching.rules import PLAN

OBSERVE_INTERVAL_SECONDS = 30.0
SHOWN_SECONDS_MAX = 120.0
SOURCES_SHOWN_MAX = 20  # By name, so that tenants' sources do not add series without bound.
RATE_DAYS = 7  # A week has every kind of day.
RUNS_MAX = 200  # Of one source in those days: one each hour, and one after each import.
STATEMENTS_MAX = 10_000  # Of all sources in those days.

QUARANTINED = "SELECT count(*) FROM statement_files WHERE status = 'quarantined'"
LINES = f"""
SELECT status, currency, count(*) AS items, sum(abs(amount)) AS amount
FROM statement_lines WHERE {OPEN_LINE} GROUP BY status, currency"""
BREAKS = """
SELECT each.class, source.currency, count(*) AS items, sum(abs(each.amount)) AS amount,
       extract(epoch FROM now() - min(each.opened_on)::timestamp AT TIME ZONE 'UTC')::float8 AS age
FROM recon_breaks AS each JOIN recon_sources AS source ON source.id = each.source_id
WHERE each.resolved_at IS NULL GROUP BY each.class, source.currency"""
ADJUSTMENTS = f"""
SELECT status, count(*) AS items,
       extract(epoch FROM now() - min(coalesce(decided_at, proposed_at)))::float8 AS age
FROM recon_adjustments WHERE {one_of("status", OPEN_ADJUSTMENT_STATUSES)} GROUP BY status"""
SOURCES = f"""
SELECT source.name, source.tenant, source.currency, run.verdict, run.residual,
       extract(epoch FROM now() - coalesce(last.created_at, source.created_at))::float8 AS age,
       matched.lines AS matched
FROM recon_sources AS source
LEFT JOIN LATERAL (
    SELECT created_at FROM statements WHERE source_id = source.id
    ORDER BY to_on DESC, id DESC LIMIT 1) AS last ON true
LEFT JOIN LATERAL (
    SELECT verdict, abs(residual) AS residual FROM recon_runs
    WHERE source_id = source.id AND finished_at IS NOT NULL
    ORDER BY id DESC LIMIT 1) AS run ON true
CROSS JOIN LATERAL (
    SELECT coalesce(sum((counts ->> 'lines')::bigint), 0)::bigint AS lines FROM (
        SELECT * FROM recon_runs WHERE source_id = source.id
        ORDER BY id DESC LIMIT {RUNS_MAX}) AS recent
    WHERE finished_at > now() - interval '{RATE_DAYS} days' AND undone_at IS NULL) AS matched"""
RECEIVED = f"""
SELECT coalesce(sum(line_count - known_count), 0)::bigint FROM (
    SELECT * FROM statements ORDER BY id DESC LIMIT {STATEMENTS_MAX}) AS recent
WHERE kind = 'statement' AND created_at > now() - interval '{RATE_DAYS} days'"""


@dataclass(frozen=True, slots=True)
class Observation:
    """What is open at one moment."""

    quarantined: int
    lines: Sequence[AnyRow]
    breaks: Sequence[AnyRow]
    adjustments: Sequence[AnyRow]
    sources: Sequence[AnyRow]
    received: int


async def observe_statements(engine: AsyncEngine) -> None:
    """Register the metrics and keep them fresh until cancelled."""
    observed = Observed(families, SHOWN_SECONDS_MAX)

    async def read() -> None:
        async with transaction(engine) as tx:
            observed.set(monotonic(), await observe(tx))

    await every(OBSERVE_INTERVAL_SECONDS, read, "statement_observation_failed")


async def observe(tx: AsyncConnection) -> Observation:
    """Read the figures."""
    await tx.exec_driver_sql(PLAN)
    return Observation(
        (await tx.exec_driver_sql(QUARANTINED)).scalar_one(),
        (await tx.exec_driver_sql(LINES)).all(),
        (await tx.exec_driver_sql(BREAKS)).all(),
        (await tx.exec_driver_sql(ADJUSTMENTS)).all(),
        (await tx.exec_driver_sql(SOURCES)).all(),
        (await tx.exec_driver_sql(RECEIVED)).scalar_one(),
    )


def families(seen: Observation) -> Iterable[Metric]:
    """Return the metric families of an observation."""
    yield GaugeMetricFamily(
        "recon_statement_files_quarantined",
        "Statement files that wait for an operator's decision.",
        value=seen.quarantined,
    )
    yield from _open_items(seen)
    yield from _open_adjustments(seen)
    yield from _sources(seen)


def _sums(
    name: str, about: str, labels: Sequence[str], samples: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    """Return a family with the sum of the samples of each value of the labels."""
    sums: dict[tuple[str, ...], float] = {}
    for values, value in samples:
        sums[values] = sums.get(values, 0) + value
    family = GaugeMetricFamily(name, about, labels=labels)
    for values, value in sorted(sums.items()):
        family.add_metric(values, value)
    return family


def _open_items(seen: Observation) -> Iterable[Metric]:
    yield _sums(
        "recon_statement_lines",
        "Booked lines in no match and not set aside, by status: unmatched or suggested.",
        ["status"],
        [
            *(((status,), 0) for status in OPEN_LINE_STATUSES),
            *(((row.status,), row.items) for row in seen.lines),
        ],
    )
    yield _sums(
        "recon_breaks",
        "Lines and entries past their days of grace, by class.",
        ["class"],
        [
            *(((name,), 0) for name in BREAK_CLASSES),
            *(((row._mapping["class"],), row.items) for row in seen.breaks),
        ],
    )
    yield GaugeMetricFamily(
        "recon_oldest_break_age_seconds",
        "Time since the booking of the oldest break; 0 without breaks.",
        value=max((row.age for row in seen.breaks), default=0),
    )
    yield _sums(
        "recon_unmatched_amount",
        "Absolute amounts by currency: of open lines, and of entries that are missing in the bank.",
        ["side", "currency"],
        [
            *(((side, row.currency), 0) for row in seen.sources for side in ("line", "entry")),
            *((("line", row.currency), float(row.amount)) for row in seen.lines),
            *(
                (("entry", row.currency), float(row.amount))
                for row in seen.breaks
                if row._mapping["class"] == "missing_in_bank"
            ),
        ],
    )


def _open_adjustments(seen: Observation) -> Iterable[Metric]:
    none = [((status,), 0.0) for status in OPEN_ADJUSTMENT_STATUSES]
    yield _sums(
        "recon_adjustments",
        "Adjustments that wait, by status: proposed for an approval, approved for the worker.",
        ["status"],
        [*none, *(((row.status,), row.items) for row in seen.adjustments)],
    )
    yield _sums(
        "recon_oldest_adjustment_age_seconds",
        "Time since the oldest proposal, or approval, that waits, by status; 0 without one.",
        ["status"],
        [*none, *(((row.status,), max(0.0, row.age)) for row in seen.adjustments)],
    )


def _sources(seen: Observation) -> Iterable[Metric]:
    yield _sums(
        "recon_sources",
        "Sources, by the verdict of their last run; none before the first.",
        ["verdict"],
        [
            *(((verdict,), 0) for verdict in (*VERDICTS, "none")),
            *(((row.verdict or "none",), 1) for row in seen.sources),
        ],
    )
    yield _sums(
        "recon_residual_amount",
        "What the bridges of the last complete days leave over, by currency: the effect of changed"
        " or lost rows.",
        ["currency"],
        [
            ((row.currency,), 0 if row.verdict == "incomplete" else float(row.residual or 0))
            for row in seen.sources
        ],
    )
    # A match may be of lines that were received before.
    if seen.received:
        matched = sum(row.matched for row in seen.sources)
        yield GaugeMetricFamily(
            "recon_auto_matched_ratio",
            f"Lines matched by rules, of the lines received, in {RATE_DAYS} days.",
            value=min(1.0, matched / seen.received),
        )
    family = GaugeMetricFamily(
        "recon_statement_age_seconds",
        f"Time since the last statement, of the {SOURCES_SHOWN_MAX} sources that wait longest.",
        labels=["source"],
    )
    longest = sorted(seen.sources, key=lambda row: -row.age)[:SOURCES_SHOWN_MAX]
    for row in longest:
        family.add_metric([stored_source_name(row.name, row.tenant)], max(0.0, row.age))
    yield family
