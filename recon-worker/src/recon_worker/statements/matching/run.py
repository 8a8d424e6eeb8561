"""A run: cut, match by every rule in order, suggest, open breaks, and record the outcome.

Every chunk is one transaction under the source's lock, and computes from committed rows. So two
processes may work on one run, and a killed run goes on where it stopped, with the same result.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import AnyRow, single_statement, sqlstate_of, transaction
from payments_core.domain.matching import Verdict
from payments_core.domain.money import currency_text
from payments_core.matching.bridge import last_covered_day, read_bridge
from payments_core.matching.entries import OPEN_LINE
from recon_worker.failpoints import reach
from recon_worker.statements.matching import batch_details, rules, suggestions
from recon_worker.statements.matching.closed_items import (
    resolve_breaks_of_closed,
    wait_for_acts,
)
from recon_worker.statements.matching.cut import advance_cut
from recon_worker.statements.matching.rule_sets import RuleSet, read_rule_set
from recon_worker.statements.matching.source_lock import lock_source

# Called with a step's name and the matches of one chunk.
Advance = Callable[[str, int], None]

ATTEMPTS_MAX = 8  # Of a chunk, when people match the same lines at the same time.
RETRY_SECONDS = 0.2
# A deadlock or a lock that took too long; a line or an entry that a person was faster to match.
_RETRIED = ("40P01", "55P03", "23503", "23505")

UNFINISHED = "SELECT * FROM recon_runs WHERE source_id = $1 AND finished_at IS NULL"
LAST = "SELECT * FROM recon_runs WHERE source_id = $1 ORDER BY id DESC LIMIT 1"
LAST_LINE = "SELECT coalesce(max(id), 0) FROM statement_lines WHERE source_id = $1"
# What a run starts from and what it leaves, without ids of the cut: other channels move those.
STATE = f"""
SELECT (SELECT concat_ws('|', count(*), coalesce(sum(amount), 0),
            bit_xor(hashtextextended(concat_ws('|', id, status, status_reason), 0)),
            bit_xor(hashtextextended(concat_ws('|', id, status, status_reason), 1)))
        FROM statement_lines WHERE source_id = $1 AND id <= $2 AND {OPEN_LINE}) AS lines,
       (SELECT concat_ws('|', count(*), coalesce(sum(amount), 0),
            bit_xor(hashint8extended(entry_id, 0)), bit_xor(hashint8extended(entry_id, 1)))
        FROM open_entries WHERE source_id = $1) AS entries,
       (SELECT concat_ws('|', count(*), sum(entries), sum(amount)) FROM recon_days
        WHERE source_id = $1) AS days,
       (SELECT concat_ws('|', id, currency, channel, time_zone, grace_days) FROM recon_sources
        WHERE id = $1) AS source,
       (SELECT concat_ws('|', count(*), max(id)) FROM statements WHERE source_id = $1)
           AS statements"""
START = """
INSERT INTO recon_runs (source_id, as_of, cut_entry_id, cut_line_id, rule_set, input_hash)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING *"""
# A join is planned while a table seems empty, and reads all legs for every match.
_LEGS_OF_RUN = """
       (SELECT coalesce(sum((SELECT count(*) FROM match_legs
                             WHERE match_id = recon_matches.id AND side = '{side}')), 0)::bigint
        FROM recon_matches WHERE run_id = $2)"""
COUNTS = f"""
SELECT (SELECT coalesce(jsonb_object_agg(rule, matches), '{{}}')::text FROM (
            SELECT rule, count(*) AS matches FROM recon_matches WHERE run_id = $2
            GROUP BY rule) AS of_run) AS matches,
       {_LEGS_OF_RUN.format(side="line")} AS lines,
       {_LEGS_OF_RUN.format(side="entry")} AS entries,
       (SELECT count(*) FROM statement_lines WHERE source_id = $1 AND {OPEN_LINE}) AS open_lines,
       (SELECT count(*) FROM statement_lines WHERE source_id = $1 AND {OPEN_LINE}
          AND status = 'suggested') AS suggested,
       (SELECT count(*) FROM open_entries WHERE source_id = $1) AS open_entries,
       (SELECT count(*) FROM recon_breaks WHERE source_id = $1 AND resolved_at IS NULL) AS breaks"""
FINISH = """
UPDATE recon_runs SET finished_at = clock_timestamp(), counts = $2::text::jsonb, output_hash = $3,
    verdict = $4, verdict_on = $5, residual = $6
WHERE id = $1 AND finished_at IS NULL"""
READ = "SELECT * FROM recon_runs WHERE id = $1"

_PLANS = {batch_details.BATCH_DETAILS: batch_details.PLAN}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run, and whether it changed anything; without a change it is an earlier run."""

    run: AnyRow
    currency: str
    changed: bool

    def as_json(self) -> dict[str, Any]:
        """Return the run as the command shows it, with names of its own; the API has others."""
        run = self.run
        residual = None if run.residual is None else currency_text(run.residual, self.currency)
        counts = run.counts if isinstance(run.counts, dict) else json.loads(run.counts)
        return {
            "id": run.id,
            "changed": self.changed,
            "asOf": run.as_of.isoformat(),
            "ruleSet": run.rule_set,
            "cutEntryId": run.cut_entry_id,
            "cutLineId": run.cut_line_id,
            "inputHash": run.input_hash.hex(),
            "outputHash": run.output_hash.hex(),
            "counts": counts,
            "verdict": run.verdict,
            "verdictOn": run.verdict_on.isoformat() if run.verdict_on else None,
            "residual": residual,
        }


async def run_matching(
    engine: AsyncEngine,
    source: AnyRow,
    as_of: date,
    advance: Advance = lambda step, matches: None,
) -> Outcome:
    """Match the source's open lines and entries; `as_of` is the day that tells pending from late.

    An interrupted run is finished first. If nothing has changed since the last run, its verdict
    included, no row is written and that run is returned.
    """
    async with single_statement(engine) as connection:
        unfinished = (await connection.exec_driver_sql(UNFINISHED, (source.id,))).one_or_none()
    if unfinished is not None:
        finished = await _work(engine, unfinished, advance)
        if finished.as_of == as_of and finished.rule_set == source.rule_set:
            return Outcome(finished, source.currency, changed=True)
    cut_entry_id = await advance_cut(engine, source.id)
    run = await _start(engine, source, as_of, cut_entry_id)
    if run.finished_at is not None:
        return Outcome(run, source.currency, changed=False)
    reach("after_run_start")
    return Outcome(await _work(engine, run, advance), source.currency, changed=True)


async def _start(engine: AsyncEngine, source: AnyRow, as_of: date, cut_entry_id: int) -> AnyRow:
    """Return a new run, or the last one if it left exactly what a new one would start from."""
    async with transaction(engine) as tx:
        await lock_source(tx, source.id)
        running = (await tx.exec_driver_sql(UNFINISHED, (source.id,))).one_or_none()
        if running is not None:
            return running
        cut_line_id = (await tx.exec_driver_sql(LAST_LINE, (source.id,))).scalar_one()
        rule_set = await read_rule_set(tx, source.rule_set)
        input_hash = await _state_hash(tx, source.id, cut_line_id, as_of, rule_set)
        last = (await tx.exec_driver_sql(LAST, (source.id,))).one_or_none()
        if (
            last is not None
            and last.output_hash == input_hash
            and last.undone_at is None
            and (last.verdict, last.verdict_on, last.residual) == await _outcome(tx, last)
        ):
            return last
        values = (source.id, as_of, cut_entry_id, cut_line_id, rule_set.version, input_hash)
        return (await tx.exec_driver_sql(START, values)).one()


async def _state_hash(
    tx: AsyncConnection, source_id: int, cut_line_id: int, as_of: date, rule_set: RuleSet
) -> bytes:
    state = (await tx.exec_driver_sql(STATE, (source_id, cut_line_id))).one()
    fields = (*state, str(as_of), rule_set.sha256.hex())
    return hashlib.sha256("\n".join(map(str, fields)).encode()).digest()


async def _work(engine: AsyncEngine, run: AnyRow, advance: Advance) -> AnyRow:
    """Do the remaining steps of a run, and finish it."""
    async with single_statement(engine) as connection:
        rule_set = await read_rule_set(connection, run.rule_set)
    for rule in rule_set.exact:
        values: tuple[object, ...] = (run.id,)
        first: int | str = "" if rule == "batch_sum" else 0
        await _walk(engine, run, rule, rules.EXACT[rule], first, values, advance)
        if rule == "batch_sum":
            statement, values = batch_details.BATCH_DETAILS, (run.id, run.as_of)
            await _walk(engine, run, rule, statement, 0, values, advance)
    days = rule_set.window_days
    if days is not None and rule_set.window_is_automatic:
        await _walk(
            engine, run, "amount_and_date", rules.AMOUNT_AND_DATE, 0, (run.id, days), advance
        )
    suggest_days = None if rule_set.window_is_automatic else days
    suggest = (suggest_days, rule_set.tolerance, rule_set.charges)
    await _walk(engine, run, "suggest", suggestions.SUGGEST, 0, suggest, advance)
    await _walk(engine, run, "breaks", rules.BREAK_LINES, 0, (run.as_of,), advance)
    await _break_entries(engine, run)
    await wait_for_acts(engine)
    reach("before_run_finish")
    return await _finish(engine, run, rule_set)


async def _walk(
    engine: AsyncEngine,
    run: AnyRow,
    step: str,
    statement: str,
    first: int | str,
    values: tuple[object, ...],
    advance: Advance,
) -> None:
    """Execute a rule's statement chunk by chunk, in the order of ids or batches."""
    last: int | str | None = first
    while last is not None:
        chunk = await _chunk(
            engine, run, statement, (run.source_id, last, run.cut_line_id, *values)
        )
        last = chunk.last
        advance(step, getattr(chunk, "matches", 0))
        reach("after_match_chunk")


async def _chunk(
    engine: AsyncEngine, run: AnyRow, statement: str, values: tuple[object, ...]
) -> AnyRow:
    """Execute one chunk, again if a person was faster with one of its lines or entries."""
    for attempt in range(ATTEMPTS_MAX):
        try:
            async with transaction(engine) as tx:
                await lock_source(tx, run.source_id)
                await tx.exec_driver_sql(_PLANS.get(statement, rules.PLAN))
                chunk = (await tx.exec_driver_sql(statement, values)).one()
                reach("in_match_chunk")
                if getattr(chunk, "lines_lost", 0) or getattr(chunk, "entries_lost", 0):
                    raise _Overtaken
                return chunk
        except _Overtaken:
            pass
        except DBAPIError as error:
            if sqlstate_of(error) not in _RETRIED or attempt == ATTEMPTS_MAX - 1:
                raise
        await asyncio.sleep(RETRY_SECONDS)
    raise RuntimeError("people keep matching the lines of this chunk")


class _Overtaken(Exception):
    """A person matched an item of the chunk first."""


async def _break_entries(engine: AsyncEngine, run: AnyRow) -> None:
    last_on, last = date.min, 0
    while True:
        values = (run.source_id, last_on, last, run.as_of)
        chunk = await _chunk(engine, run, rules.BREAK_ENTRIES, values)
        if chunk.last is None:
            return
        last_on, last = chunk.last_on, chunk.last


async def _finish(engine: AsyncEngine, run: AnyRow, rule_set: RuleSet) -> AnyRow:
    async with transaction(engine) as tx:
        await lock_source(tx, run.source_id)
        await resolve_breaks_of_closed(tx, run)
        outcome = await _outcome(tx, run)
        counts = (await tx.exec_driver_sql(COUNTS, (run.source_id, run.id))).one()._asdict()
        counts["matches"] = json.loads(counts["matches"])
        output_hash = await _state_hash(tx, run.source_id, run.cut_line_id, run.as_of, rule_set)
        await tx.exec_driver_sql(
            FINISH,
            (run.id, json.dumps(counts, sort_keys=True), output_hash, *outcome),
        )
        return (await tx.exec_driver_sql(READ, (run.id,))).one()


async def _outcome(tx: AsyncConnection, run: AnyRow) -> tuple[Verdict, date | None, Decimal | None]:
    """Return verdict, day and residual of the last day up to the run's that a statement ends with.

    They change without new items too: a day ends in the source's time zone, and rows that were
    tampered with are restored.
    """
    on = await last_covered_day(tx, run.source_id, run.as_of)
    if on is None:
        return "incomplete", None, None
    bridge = await read_bridge(tx, run.source_id, on, run.as_of)
    return bridge.verdict, bridge.on, bridge.residual
