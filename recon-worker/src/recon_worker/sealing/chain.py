"""The sealer: chains hashes over what was settled, behind the writers and never in their way.

A writer takes no lock of the sealer's and waits for nothing. A seal covers ranges of ids up to
which entries and results are final, so an id that is missing in one is sealed as missing: a row
that shows up there later was put there around the ledger.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import AnyRow, transaction
from recon_worker.sealing.format import (
    ENTRIES,
    FORMAT_VERSION,
    GENESIS,
    RESULTS,
    SUMMARY,
    Head,
    Seal,
    SealedRange,
    is_signed,
    mac_of,
    runs_of,
)

SEAL_ROWS_MAX = 10_000  # Of each table: 60 ms of Postgres' time, 80 kB of digests.

# One sealer at a time, or a verifier: a row's lock needs UPDATE on it, an advisory one nothing.
# A sealer of an earlier release has its advisory lock; then the second insert of a number fails.
ALONE = "SELECT true FROM seal_verification FOR UPDATE SKIP LOCKED"

# A release before format 2 may have added the last seal: then an earlier one says up to which
# result the chain goes.
LAST_SEAL = """
SELECT seq, seal_hash, to_entry_id,
       coalesce((SELECT to_result_id FROM ledger_seals WHERE to_result_id IS NOT NULL
                 ORDER BY seq DESC LIMIT 1), 0) AS to_result_id
FROM ledger_seals ORDER BY seq DESC LIMIT 1"""
MAC_OF_SEAL = "SELECT mac FROM ledger_seals WHERE seq = $1"

# An id beyond the sequence's was not handed out by it: `audit --seal` accuses that row.
LAST_IDS = """
SELECT (SELECT coalesce(max(id), 0) FROM ledger_entries
        WHERE id <= (SELECT last_value FROM ledger_entries_id_seq)) AS entry_id,
       (SELECT coalesce(max(id), 0) FROM reconciliation_results
        WHERE id <= (SELECT last_value FROM reconciliation_results_id_seq)) AS result_id"""

# An INSERT holds this lock from before its first id until the end of its transaction. A
# prepared transaction has no process, and may have changed its name while being prepared.
WRITERS = """
SELECT virtualtransaction AS writer, pid IS NULL AS prepared FROM pg_locks
WHERE locktype = 'relation'
  AND relation IN ('ledger_entries'::regclass, 'reconciliation_results'::regclass)
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND mode = 'RowExclusiveLock' AND granted"""

GATHER_ENTRIES, GATHER_RESULTS = (
    f"SELECT {SUMMARY} FROM ({rows[FORMAT_VERSION]} BETWEEN $1 AND $2"
    f" ORDER BY id LIMIT {SEAL_ROWS_MAX}) AS found"
    for rows in (ENTRIES, RESULTS)
)

INSERT = """
INSERT INTO ledger_seals (seq, format_version, from_entry_id, to_entry_id, entry_count, entry_ids,
                          entries_hash, entry_digests, from_result_id, to_result_id, result_count,
                          result_ids, results_hash, result_digests, previous_hash, seal_hash, mac,
                          sealed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)"""


class HeadUnsigned(Exception):
    """The last seal has no MAC of a known key; `recon-worker audit --sign-head` accepts it."""

    def __str__(self) -> str:
        """Return the docstring: the log shows it."""
        return str(self.__doc__)


@dataclass(frozen=True, slots=True)
class Horizon:
    """Up to these ids both tables are final once all of `writers` have ended."""

    entry_id: int
    result_id: int
    writers: frozenset[str]

    def is_beyond(self, head: Head) -> bool:
        """Return whether there are ids that no seal covers."""
        return self.entry_id > head.to_entry_id or self.result_id > head.to_result_id


async def read_head(connection: AsyncConnection) -> Head:
    """Return the chain's head; GENESIS when there is no seal."""
    row = (await connection.exec_driver_sql(LAST_SEAL)).one_or_none()
    return Head(*tuple(row)) if row else GENESIS


async def see_horizon(connection: AsyncConnection) -> Horizon:
    """Return the last ids there are, with every writer that may hold a smaller one.

    Two statements, in this order: a writer took an id below the last visible one before that
    one was seen, and is therefore still among the writers, or has ended.
    """
    last = (await connection.exec_driver_sql(LAST_IDS)).one()
    writers = frozenset(row.writer for row in await _writers(connection))
    return Horizon(last.entry_id, last.result_id, writers)


async def is_final(connection: AsyncConnection, horizon: Horizon) -> bool:
    """Return whether all those writers have ended: their rows are visible, or never will be."""
    return not horizon.writers or not any(
        row.prepared or row.writer in horizon.writers for row in await _writers(connection)
    )


async def seal_next(engine: AsyncEngine, final: Horizon, keys: Sequence[bytes] = ()) -> Seal | None:
    """Seal the next rows up to the horizon, at most SEAL_ROWS_MAX of each table.

    Returns None when there is nothing to seal, or another is sealing. With keys, the first one
    signs, and a chain whose last seal none of them signed is not built upon: raises HeadUnsigned.
    The lock is the transaction's, so that it also holds behind a pooler of connections.
    """
    async with transaction(engine) as tx:
        if not await _alone(tx):
            return None
        head = await read_head(tx)
        if not final.is_beyond(head):
            return None
        if keys and head != GENESIS:
            mac = (await tx.exec_driver_sql(MAC_OF_SEAL, (head.seq,))).scalar()
            if not is_signed(mac, head.seal_hash, keys):
                raise HeadUnsigned
        entries = await _gather(tx, GATHER_ENTRIES, head.to_entry_id, final.entry_id)
        results = await _gather(tx, GATHER_RESULTS, head.to_result_id, final.result_id)
        if not entries.range.count and not results.range.count:
            return None
        return await _append(tx, head, entries, results, keys)


async def sign_head(engine: AsyncEngine, keys: Sequence[bytes]) -> Seal | None:
    """Chain a seal of no rows, signed by the first key, to whatever is there now.

    So a key that is introduced later covers what was sealed before it. None when another is
    sealing.
    """
    async with transaction(engine) as tx:
        if not await _alone(tx):
            return None
        head = await read_head(tx)
        entries = await _gather(tx, GATHER_ENTRIES, head.to_entry_id, head.to_entry_id)
        results = await _gather(tx, GATHER_RESULTS, head.to_result_id, head.to_result_id)
        return await _append(tx, head, entries, results, keys)


@dataclass(frozen=True, slots=True)
class _Gathered:
    """A range with what ledger_seals keeps of it in the database's own types."""

    range: SealedRange
    ids: object
    digests: bytes

    def values(self) -> tuple[object, ...]:
        """Return its columns of ledger_seals, in INSERT's order."""
        kept = self.range
        return (kept.from_id, kept.to_id, kept.count, self.ids, kept.rows_hash, self.digests)


async def _gather(tx: AsyncConnection, query: str, after: int, to: int) -> _Gathered:
    """Hash the rows above `after` and up to `to`, from the first on."""
    found = (await tx.exec_driver_sql(query, (after + 1, to))).one()
    sealed = SealedRange(
        from_id=after + 1,
        # A horizon that was seen before another worker sealed further covers nothing new.
        to_id=found.last_id if found.rows == SEAL_ROWS_MAX else max(after, to),
        count=found.rows,
        ids=runs_of(found.ids),
        rows_hash=found.hash,
        digests_hash=hashlib.sha256(found.digests).digest(),
    )
    return _Gathered(sealed, found.ids, found.digests)


async def _append(
    tx: AsyncConnection, head: Head, entries: _Gathered, results: _Gathered, keys: Sequence[bytes]
) -> Seal:
    seal = Seal(
        seq=head.seq + 1,
        format_version=FORMAT_VERSION,
        entries=entries.range,
        results=results.range,
        previous_hash=head.seal_hash,
        sealed_at=(await tx.exec_driver_sql("SELECT clock_timestamp()")).scalar_one(),
    )
    seal_hash = seal.hash()
    await tx.exec_driver_sql(
        INSERT,
        (
            seal.seq,
            seal.format_version,
            *entries.values(),
            *results.values(),
            seal.previous_hash,
            seal_hash,
            mac_of(keys[0], seal_hash) if keys else None,
            seal.sealed_at,
        ),
    )
    return seal


async def _alone(tx: AsyncConnection) -> bool:
    return bool((await tx.exec_driver_sql(ALONE)).scalar())


async def _writers(connection: AsyncConnection) -> Sequence[AnyRow]:
    return (await connection.exec_driver_sql(WRITERS)).all()
