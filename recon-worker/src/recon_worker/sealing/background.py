"""Sealing in the background: seal what is final, watch the head, verify old seals again."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import AnyRow, is_unavailable, reason_of, single_statement, transaction
from recon_worker.sealing import metrics
from recon_worker.sealing.chain import (
    LAST_SEAL,
    HeadUnsigned,
    Horizon,
    is_final,
    seal_next,
    see_horizon,
)
from recon_worker.sealing.compare import SealFinding
from recon_worker.sealing.format import GENESIS, Head, Seal
from recon_worker.sealing.heads import KeptHead, check_heads, head_fields
from recon_worker.sealing.verify import verify_step, walk_before

HORIZON_LOOK_SECONDS = 0.05
HORIZON_LOOKS_MAX = 20  # In one round; the same horizon is looked at again in the next.
PASS_SECONDS_MIN = 3600.0  # A small ledger need not be read from end to end all the time.

_BOOKMARK_COLUMNS = """
       verified_seq, problem, extract(epoch FROM now() - verified_at)::float8 AS age_seconds,
       extract(epoch FROM pass_completed_at)::float8 AS pass_completed_at,
       extract(epoch FROM now() - pass_started_at)::float8 AS pass_age_seconds"""
BOOKMARK = f"SELECT {_BOOKMARK_COLUMNS} FROM seal_verification FOR UPDATE SKIP LOCKED"

# All that a round goes by, in one statement: most rounds find nothing to do.
LOOK = f"""
SELECT head.seq, head.seal_hash, head.to_entry_id, head.to_result_id,
       coalesce((SELECT max(id) FROM ledger_entries), 0) AS last_entry_id,
       coalesce((SELECT max(id) FROM reconciliation_results), 0) AS last_result_id,
       extract(epoch FROM now() - least(
           (SELECT created_at FROM ledger_entries
            WHERE id > coalesce(head.to_entry_id, 0) ORDER BY id LIMIT 1),
           (SELECT created_at FROM reconciliation_results
            WHERE id > coalesce(head.to_result_id, 0) ORDER BY id LIMIT 1)
       ))::float8 AS unsealed_age_seconds,
       {_BOOKMARK_COLUMNS}
FROM seal_verification LEFT JOIN ({LAST_SEAL}) AS head ON true"""

STEP_DONE = """
UPDATE seal_verification SET verified_seq = $1, verified_at = now(),
    pass_started_at = CASE WHEN $2 THEN now() ELSE pass_started_at END,
    pass_completed_at = CASE WHEN $3 THEN now() ELSE pass_completed_at END"""
# The first problem stays: what follows from it may hide it.
RECORD_PROBLEM = """
UPDATE seal_verification
SET problem = $1, problem_seq = $2, problem_entry_id = $3, problem_result_id = $4,
    problem_at = now()
WHERE problem IS NULL"""

log = logging.getLogger(__name__)


async def record_problem(connection: AsyncConnection, found: SealFinding) -> None:
    """Keep the first finding for metrics and alert, until an audit clears it."""
    values = (found.kind, found.seq, found.entry_id, found.result_id)
    await connection.exec_driver_sql(RECORD_PROBLEM, values)


class Sealer:
    """One worker's part in sealing: only one seals at a time, all of them watch the head."""

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
        self._seen: Head = GENESIS
        self._accused: SealFinding | None = None

    async def run(self) -> None:
        """Seal, watch and verify for ever; a database that is away is waited for."""
        while True:
            try:
                await self.round()
            except Exception as error:
                if is_unavailable(error):
                    log.warning("sealing_waits", extra={"error": reason_of(error)})
                else:
                    log.exception("sealing_failed")
            await asyncio.sleep(self.interval_seconds)

    async def round(self) -> None:
        """One look at everything, and another where the first found something to do."""
        seen = await self._look()
        sealed = await self._seal(seen)
        due = self.verify_rows and _is_due(seen, self.interval_seconds)
        if due:
            await self._verify()
        if sealed or due:
            seen = await self._look()
        _show(seen)

    async def _look(self) -> AnyRow:
        """Also as a witness: the seal that this process saw last must still be there."""
        async with single_statement(self.engine) as connection:
            seen = (await connection.exec_driver_sql(LOOK)).one()
            if _head_of(seen) != self._seen != GENESIS:
                kept = KeptHead(self._seen.seq, self._seen.seal_hash)
                for found in await check_heads(connection, [kept]):
                    await self._accuse(connection, found)
                seen = (await connection.exec_driver_sql(LOOK)).one()
            self._seen = _head_of(seen)
        return seen

    async def _accuse(self, connection: AsyncConnection, found: SealFinding) -> None:
        await record_problem(connection, found)
        if found == self._accused:
            return  # Found again at every round, and in the log once.
        self._accused = found
        log.critical("ledger_seal_broken", extra=asdict(found))

    async def _seal(self, seen: AnyRow) -> bool:
        """Seal what is final; whether there was anything that no seal covers."""
        last = Horizon(seen.last_entry_id, seen.last_result_id, frozenset())
        if self._horizon is None and not last.is_beyond(self._seen):
            return False
        async with single_statement(self.engine) as connection:
            if self._horizon is None:
                horizon = await see_horizon(connection)
                if not horizon.is_beyond(self._seen):
                    return False  # What is above it came past the sequence.
                self._horizon = horizon
            for _ in range(HORIZON_LOOKS_MAX):
                if await is_final(connection, self._horizon):
                    break
                await asyncio.sleep(HORIZON_LOOK_SECONDS)
            else:
                return True
        final, self._horizon = self._horizon, None
        try:
            while made := await self._seal_next(final):
                self._seen = made.head(self._seen)
                metrics.ENTRIES_SEALED.inc(made.entries.count)
                # A copy of the log is a witness to the chain.
                counts = {
                    "entries": made.entries.count,
                    "results": made.results.count if made.results else 0,
                }
                log.info("ledger_sealed", extra={**head_fields(made), **counts})
        except HeadUnsigned as error:
            found = SealFinding("seal_unsigned", self._seen.seq, str(error))
            async with single_statement(self.engine) as connection:
                await self._accuse(connection, found)
        return True

    async def _seal_next(self, final: Horizon) -> Seal | None:
        with metrics.SEAL_SECONDS.time():
            return await seal_next(self.engine, final, self.keys)

    async def _verify(self) -> None:
        """Verify a few seals again, if no other worker has within the interval."""
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
            for found in walk.findings[:1]:
                await self._accuse(tx, found)
            next_seq = walk.head.seq if more else 0
            await tx.exec_driver_sql(STEP_DONE, (next_seq, begins, not more))
        metrics.ENTRIES_VERIFIED.inc(walk.entries)


def _head_of(seen: AnyRow) -> Head:
    if seen.seq is None:
        return GENESIS
    return Head(seen.seq, seen.seal_hash, seen.to_entry_id, seen.to_result_id)


def _show(seen: AnyRow) -> None:
    head = _head_of(seen)
    metrics.HEAD_SEQ.set(head.seq)
    metrics.BACKLOG_ENTRIES.set(max(0, seen.last_entry_id - head.to_entry_id))
    metrics.BACKLOG_AGE_SECONDS.set(max(0.0, seen.unsealed_age_seconds or 0.0))
    metrics.CHAIN_HOLDS.set(1 if seen.problem is None else 0)
    metrics.VERIFIED_SEQ.set(seen.verified_seq)
    if seen.pass_completed_at is not None:
        metrics.PASS_COMPLETED.set(seen.pass_completed_at)


def _is_due(mark: AnyRow, interval_seconds: float) -> bool:
    if mark.verified_seq == 0 and mark.pass_age_seconds is not None:
        return bool(mark.pass_age_seconds >= PASS_SECONDS_MIN)
    return mark.age_seconds is None or mark.age_seconds >= interval_seconds * 0.9
