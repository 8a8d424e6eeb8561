"""Sealing in the background: seal final rows, watch the head, verify old seals again."""

import logging
from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import AnyRow, single_statement, transaction
from payments_core.repeat import every
from recon_worker.sealing import metrics
from recon_worker.sealing.chain import (
    LAST_SEAL,
    HeadUnsigned,
    Horizon,
    is_final,
    read_horizon,
    seal_next,
)
from recon_worker.sealing.compare import SealFinding
from recon_worker.sealing.format import GENESIS, Head, Seal
from recon_worker.sealing.heads import KeptHead, check_heads, head_fields
from recon_worker.sealing.verify import verify_step, walk_before

HORIZON_WAIT_SECONDS = 1.0  # For each round; the next round continues with the same horizon.
PASS_SECONDS_MIN = 3600.0  # A small ledger need not be verified continuously.

_BOOKMARK_COLUMNS = """
       verified_seq, problem, extract(epoch FROM now() - verified_at)::float8 AS age_seconds,
       extract(epoch FROM pass_completed_at)::float8 AS pass_completed_at,
       extract(epoch FROM now() - pass_started_at)::float8 AS pass_age_seconds"""
BOOKMARK = f"SELECT {_BOOKMARK_COLUMNS} FROM seal_verification FOR UPDATE SKIP LOCKED"

# The state that a round needs, in one statement: most rounds find nothing to do.
STATE = f"""
SELECT head.seq, head.seal_hash, head.to_entry_id, head.to_result_id,
       coalesce((SELECT max(id) FROM ledger_entries), 0) AS last_entry_id,
       coalesce((SELECT max(id) FROM reconciliation_results), 0) AS last_result_id,
       {_BOOKMARK_COLUMNS}
FROM seal_verification LEFT JOIN ({LAST_SEAL}) AS head ON true"""

STEP_DONE = """
UPDATE seal_verification SET verified_seq = $1, verified_at = now(),
    pass_started_at = CASE WHEN $2 THEN now() ELSE pass_started_at END,
    pass_completed_at = CASE WHEN $3 THEN now() ELSE pass_completed_at END"""
# The first problem stays: later ones may be its consequences.
RECORD_PROBLEM = """
UPDATE seal_verification
SET problem = $1, problem_seq = $2, problem_entry_id = $3, problem_result_id = $4,
    problem_at = now()
WHERE problem IS NULL"""

log = logging.getLogger(__name__)


async def record_problem(connection: AsyncConnection, finding: SealFinding) -> None:
    """Store the first finding for metrics and the alert, until an audit clears it."""
    values = (finding.kind, finding.seq, finding.entry_id, finding.result_id)
    await connection.exec_driver_sql(RECORD_PROBLEM, values)


class Sealer:
    """The sealing task of one worker: one worker seals at a time, every worker watches the head."""

    def __init__(
        self,
        engine: AsyncEngine,
        keys: Sequence[bytes],
        interval_seconds: float,
        verify_entries_per_second: int,
    ) -> None:
        self.engine = engine
        self.keys = keys
        self.interval_seconds = interval_seconds
        self.verify_rows = round(verify_entries_per_second * interval_seconds)
        self._horizon: Horizon | None = None
        self._head: Head = GENESIS
        self._logged: SealFinding | None = None

    async def run(self) -> None:
        """Seal, watch and verify until cancelled; wait while the database is unavailable."""
        await every(self.interval_seconds, self.round, "sealing_failed")

    async def round(self) -> None:
        """Check the head, seal new rows, verify old seals if due, and update the metrics."""
        state = await self._read_state()
        sealed = await self._seal(state)
        due = self.verify_rows and _is_due(state, self.interval_seconds)
        if due:
            await self._verify()
        if sealed or due:
            state = await self._read_state()
        _update_metrics(state)

    async def _read_state(self) -> AnyRow:
        """Return the state of the chain; report it if the head that was last read is gone."""
        async with single_statement(self.engine) as connection:
            state = (await connection.exec_driver_sql(STATE)).one()
            if _head_of(state) != self._head != GENESIS:
                kept = KeptHead(self._head.seq, self._head.seal_hash)
                for finding in await check_heads(connection, [kept]):
                    await self._report(connection, finding)
                state = (await connection.exec_driver_sql(STATE)).one()
            self._head = _head_of(state)
        return state

    async def _report(self, connection: AsyncConnection, finding: SealFinding) -> None:
        await record_problem(connection, finding)
        if finding == self._logged:
            return  # Every round finds it again; log it once.
        self._logged = finding
        log.critical("ledger_seal_broken", extra=asdict(finding))

    async def _seal(self, state: AnyRow) -> bool:
        """Seal final rows; return whether there were unsealed rows."""
        last = Horizon(state.last_entry_id, state.last_result_id, frozenset())
        if self._horizon is None and not last.is_beyond(self._head):
            return False
        async with single_statement(self.engine) as connection:
            if self._horizon is None:
                horizon = await read_horizon(connection)
                if not horizon.is_beyond(self._head):
                    return False  # The ids above it are not from the sequence.
                self._horizon = horizon
            if not await is_final(connection, self._horizon, HORIZON_WAIT_SECONDS):
                return True
        final, self._horizon = self._horizon, None
        try:
            while seal := await self._seal_next(final):
                self._head = seal.head(self._head)
                metrics.ENTRIES_SEALED.inc(seal.entries.count)
                # Copies of the log hold heads of the chain outside the database.
                counts = {
                    "entries": seal.entries.count,
                    "results": seal.results.count if seal.results else 0,
                }
                log.info("ledger_sealed", extra={**head_fields(seal), **counts})
        except HeadUnsigned as error:
            finding = SealFinding("seal_unsigned", self._head.seq, str(error))
            async with single_statement(self.engine) as connection:
                await self._report(connection, finding)
        return True

    async def _seal_next(self, final: Horizon) -> Seal | None:
        with metrics.SEAL_SECONDS.time():
            return await seal_next(self.engine, final, self.keys)

    async def _verify(self) -> None:
        """Verify some seals again, unless another worker did so within the interval."""
        async with transaction(self.engine) as tx:
            rows = await tx.exec_driver_sql(BOOKMARK)
            mark = rows.one_or_none()
            if mark is None or not _is_due(mark, self.interval_seconds):
                return
            try:
                walk = await walk_before(tx, mark.verified_seq + 1, self.keys)
            except LookupError:
                walk = await walk_before(tx, 1, self.keys)
            begins = walk.head == GENESIS
            more = await verify_step(tx, walk, 2**63 - 1, self.keys, self.verify_rows)
            for finding in walk.findings[:1]:
                await self._report(tx, finding)
            next_seq = walk.head.seq if more else 0
            await tx.exec_driver_sql(STEP_DONE, (next_seq, begins, not more))
        metrics.ENTRIES_VERIFIED.inc(walk.entries)


def _head_of(state: AnyRow) -> Head:
    if state.seq is None:
        return GENESIS
    return Head(state.seq, state.seal_hash, state.to_entry_id, state.to_result_id)


def _update_metrics(state: AnyRow) -> None:
    metrics.HEAD_SEQ.set(_head_of(state).seq)
    metrics.CHAIN_HOLDS.set(1 if state.problem is None else 0)
    metrics.VERIFIED_SEQ.set(state.verified_seq)
    if state.pass_completed_at is not None:
        metrics.PASS_COMPLETED.set(state.pass_completed_at)


def _is_due(mark: AnyRow, interval_seconds: float) -> bool:
    if mark.verified_seq == 0 and mark.pass_age_seconds is not None:
        return bool(mark.pass_age_seconds >= PASS_SECONDS_MIN)
    return mark.age_seconds is None or mark.age_seconds >= interval_seconds * 0.9
