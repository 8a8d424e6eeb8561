"""The metrics of what is open: true, bounded in their labels, and read without the history."""

import time
from datetime import date, timedelta
from decimal import Decimal

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import transaction
from payments_core.domain.matching import VERDICTS
from payments_core.matching.lines import set_aside
from recon_worker.statements import metrics, open_item_metrics
from recon_worker.statements.matching import background
from recon_worker.statements.matching.rules import PLAN
from recon_worker.statements.open_item_metrics import families, observe
from testkit.database.adjustments import adjust_five
from testkit.database.matching_books import DAY, Entry, Line, add_entries, add_source, add_statement
from testkit.database.plans import whole_table_scans
from testkit.database.sql import Sql
from testkit.observability.observing import observed_once

Samples = dict[tuple[str, tuple[str, ...]], float]


async def _seen(engine: AsyncEngine) -> Samples:
    """Return the value of each series of one observation, by name and values of labels."""
    async with transaction(engine) as tx:
        seen = await observe(tx)
    return {
        (sample.name.removeprefix("recon_"), tuple(sample.labels.values())): sample.value
        for family in families(seen)
        for sample in family.samples
    }


async def _books(sql: Sql, engine: AsyncEngine) -> tuple[int, int]:
    """Match two of a bank's lines by rules, leave two and an entry open.

    Return the source and its last line.
    """
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "A"), Entry("-4", "B"), Entry("7", "missing")])
    lines = [Line("10", "A"), Line("-4", "B"), Line("3.25", "x"), Line("-1.5", "y")]
    ids = await add_statement(sql, source, lines)
    await background.match_sources(engine)
    return source, ids[-1]


async def test_without_sources_every_status_is_zero(sql: Sql, engine: AsyncEngine) -> None:
    seen = await _seen(engine)
    assert set(seen.values()) == {0}
    assert set(seen) == {
        ("statement_files_quarantined", ()),
        *(("statement_lines", (status,)) for status in ("unmatched", "suggested")),
        *(("breaks", (name,)) for name in ("bank_only", "missing_in_bank")),
        ("oldest_break_age_seconds", ()),
        *(("adjustments", (status,)) for status in ("proposed", "approved")),
        *(("oldest_adjustment_age_seconds", (status,)) for status in ("proposed", "approved")),
        *(("sources", (verdict,)) for verdict in (*VERDICTS, "none")),
    }


async def test_the_figures_say_what_is_open(sql: Sql, engine: AsyncEngine) -> None:
    await _books(sql, engine)
    await add_source(sql, "other", channel="other", currency="USD")
    seen = await _seen(engine)
    assert seen["statement_lines", ("unmatched",)] == 2
    assert (seen["breaks", ("bank_only",)], seen["breaks", ("missing_in_bank",)]) == (2, 1)
    # Amounts never cancel out, and currencies are never added up.
    assert seen["unmatched_amount", ("line", "EUR")] == 4.75
    assert seen["unmatched_amount", ("entry", "EUR")] == 7
    assert seen["unmatched_amount", ("line", "USD")] == 0
    days = (await sql.fetchval("SELECT (now() AT TIME ZONE 'UTC')::date") - DAY).days
    assert seen["oldest_break_age_seconds", ()] // 86400 == days
    assert seen["auto_matched_ratio", ()] == 0.5
    assert (seen["sources", ("breaks",)], seen["sources", ("none",)]) == (1, 1)
    assert seen["residual_amount", ("EUR",)] == 0
    assert 0 <= seen["statement_age_seconds", ("bank",)] < 600


async def test_a_line_that_is_set_aside_is_open_no_more(sql: Sql, engine: AsyncEngine) -> None:
    source, fee = await _books(sql, engine)
    async with transaction(engine) as tx:
        await set_aside(tx, source, fee, "explain", Operator("ann"), "fee")
    seen = await _seen(engine)
    assert seen["statement_lines", ("unmatched",)] == 1
    assert seen["breaks", ("bank_only",)] == 1
    assert seen["unmatched_amount", ("line", "EUR")] == 3.25


async def test_adjustments_count_while_they_wait_and_once_when_they_are_settled(
    sql: Sql, engine: AsyncEngine
) -> None:
    def settled() -> list[float]:
        series = map(metrics.ADJUSTMENTS_SETTLED.labels, ("posted", "failed"))
        return [each._value.get() for each in series]

    before = settled()
    await adjust_five(sql, engine)
    assert [now - then for now, then in zip(settled(), before, strict=True)] == [1, 1]
    await sql.execute("SET session_replication_role = replica")
    await sql.execute(
        "UPDATE recon_adjustments SET proposed_at = now() - interval '2 hours',"
        " decided_at = CASE WHEN decided_at IS NOT NULL THEN now() - interval '1 hour' END"
    )
    await sql.execute("RESET session_replication_role")
    seen = await _seen(engine)
    for status, hours in (("proposed", 2), ("approved", 1)):
        assert seen["adjustments", (status,)] == 1
        age = seen["oldest_adjustment_age_seconds", (status,)]
        assert age // 3600 == hours, "an approved one waits since its approval"


async def test_an_undone_run_and_old_ones_count_as_no_automatic_match(
    sql: Sql, engine: AsyncEngine
) -> None:
    await _books(sql, engine)
    ago = f"now() - interval '{open_item_metrics.RATE_DAYS} days 1 min'"
    await sql.execute("SET session_replication_role = replica")
    for change in (
        "undone_at = now(), undone_by = 'ann', undone_reason = 'r'",
        f"undone_at = NULL, undone_by = NULL, undone_reason = NULL, finished_at = {ago}",
    ):
        await sql.execute(f"UPDATE recon_runs SET {change}")
        assert (await _seen(engine))["auto_matched_ratio", ()] == 0, change
    await sql.execute(f"UPDATE statements SET created_at = {ago}")
    seen = await _seen(engine)
    await sql.execute("RESET session_replication_role")
    assert ("auto_matched_ratio", ()) not in seen
    assert seen["statement_age_seconds", ("bank",)] > open_item_metrics.RATE_DAYS * 86400


async def test_a_residual_shows_unless_the_day_is_incomplete_anyway(
    sql: Sql, engine: AsyncEngine
) -> None:
    await _books(sql, engine)
    await sql.execute("SET session_replication_role = replica")
    shown = []
    for verdict in ("breaks", "incomplete"):
        await sql.execute("UPDATE recon_runs SET residual = -0.02, verdict = $1", verdict)
        shown.append((await _seen(engine))["residual_amount", ("EUR",)])
    await sql.execute("RESET session_replication_role")
    assert shown == [0.02, 0]


async def test_the_sources_that_wait_longest_are_named_and_no_more(
    sql: Sql, engine: AsyncEngine
) -> None:
    count = open_item_metrics.SOURCES_SHOWN_MAX + 5
    for number in range(count):
        await add_source(sql, f"bank-{number}", channel=f"c{number}", tenant="acme")
    await sql.execute("UPDATE recon_sources SET created_at = now() - id * interval '1 hour'")
    seen = await _seen(engine)
    named = {labels[0] for name, labels in seen if name == "statement_age_seconds"}
    assert named == {f"acme~bank-{number}" for number in range(5, count)}
    assert seen["sources", ("none",)] == count


async def test_each_run_is_counted_by_its_end(sql: Sql, engine: AsyncEngine) -> None:
    def ends() -> list[float]:
        return [metrics.RUNS.labels(end)._value.get() for end in ("changed", "unchanged", "failed")]

    before = ends()
    await _books(sql, engine)
    await background.match_sources(engine)
    await sql.execute("UPDATE recon_sources SET time_zone = 'No/Where'")
    await add_entries(sql, [Entry("1")])
    await background.match_sources(engine)
    assert [now - then for now, then in zip(ends(), before, strict=True)] == [1, 1, 1]


STATEMENTS = {
    name: (getattr(open_item_metrics, name), "")
    for name in ("QUARANTINED", "LINES", "BREAKS", "ADJUSTMENTS", "SOURCES", "RECEIVED")
}
HISTORY = (
    *("statement_files", "statement_lines", "statements", "recon_breaks", "recon_runs"),
    "recon_adjustments",
)


@pytest.mark.parametrize("known", ["nothing", "all open", "mostly settled"])
async def test_no_figure_reads_the_history(
    sql: Sql, engine: AsyncEngine, worker_connection: Sql, known: str
) -> None:
    source = await add_source(sql)
    lines = [Line(Decimal(n + 1), f"R-{n}") for n in range(2_000)]
    await add_statement(sql, source, lines)
    for number in range(1, 50):
        on = date(2026, 4, 1) + timedelta(days=number)
        await add_statement(sql, source, [Line("1", day=on)], from_on=on, to_on=on)
    await background.match_sources(engine)
    if known == "all open":
        await sql.execute("ANALYZE")
    await sql.execute("UPDATE statement_lines SET status = 'matched' WHERE id % 50 <> 0")
    await sql.execute(
        "UPDATE recon_breaks SET resolved_at = now(), resolved_by = 'ann' WHERE item_id % 50 <> 0"
    )
    if known == "mostly settled":
        await sql.execute("VACUUM ANALYZE")
    async with worker_connection.transaction():
        await worker_connection.execute(PLAN)
        assert await whole_table_scans(worker_connection, STATEMENTS, HISTORY) == {}
        for name, index in (("LINES", "statement_lines_open"), ("BREAKS", "recon_breaks_open")):
            rows = await worker_connection.fetch(f"EXPLAIN {STATEMENTS[name][0]}")
            assert index in "\n".join(row[0] for row in rows), name


async def test_the_metrics_end_with_their_last_observation(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = await observed_once(
        monkeypatch, open_item_metrics, open_item_metrics.observe_statements(engine)
    )
    assert registry.get_sample_value("recon_statement_files_quarantined") == 0
    with monkeypatch.context() as later:
        now = time.monotonic()
        later.setattr(time, "monotonic", lambda: now + open_item_metrics.SHOWN_SECONDS_MAX)
        assert registry.get_sample_value("recon_statement_files_quarantined") is None
