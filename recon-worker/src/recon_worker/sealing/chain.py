"""The sealer: appends seals, hashes over final entries and results, to the chain.

Writers take none of the sealer's locks and never wait for it. A seal covers ranges of ids whose
rows are final, so a gap in the ids is sealed as a gap: a row that appears there later did not come
from a posting.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import transaction
from payments_core.db.writers import have_ended, open_writers
from recon_worker.sealing.format import (
    FORMAT_VERSION,
    GENESIS,
    Head,
    Seal,
    SealedRange,
    is_signed,
    mac_of,
    runs_of,
)
from recon_worker.sealing.row_hashes import ENTRIES, RESULTS, SUMMARY

SEAL_ROWS_MAX = 10_000  # Of each table: 60 ms of Postgres' time, 80 kB of digests.

# One sealer or verifier at a time. A row lock needs the UPDATE privilege; any role may take an
# advisory lock. A sealer of an earlier release holds an advisory lock instead: of two inserts of
# one seal number, the second fails.
LOCK = "SELECT true FROM seal_verification FOR UPDATE SKIP LOCKED"

# A release before format 2 may have added the last seal; then an earlier seal holds the last
# sealed result.
LAST_SEAL = """
SELECT seq, seal_hash, to_entry_id,
       coalesce((SELECT to_result_id FROM ledger_seals WHERE to_result_id IS NOT NULL
                 ORDER BY seq DESC LIMIT 1), 0) AS to_result_id
FROM ledger_seals ORDER BY seq DESC LIMIT 1"""
MAC_OF_SEAL = "SELECT mac FROM ledger_seals WHERE seq = $1"

# The sequence did not hand out an id above its last value; `audit --seal` reports such a row.
LAST_IDS = """
SELECT (SELECT coalesce(max(id), 0) FROM ledger_entries
        WHERE id <= (SELECT last_value FROM ledger_entries_id_seq)) AS entry_id,
       (SELECT coalesce(max(id), 0) FROM reconciliation_results
        WHERE id <= (SELECT last_value FROM reconciliation_results_id_seq)) AS result_id"""

WRITTEN = ("ledger_entries", "reconciliation_results")

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
    """The last seal has no MAC by a known key; `recon-worker audit --sign-head` accepts it."""

    def __str__(self) -> str:
        """Return the docstring, which the log shows."""
        return str(self.__doc__)


@dataclass(frozen=True, slots=True)
class Horizon:
    """Ids up to which both tables are final once all `writers` have ended."""

    entry_id: int
    result_id: int
    writers: frozenset[str]

    def is_beyond(self, head: Head) -> bool:
        """Return whether there are ids after the head."""
        return self.entry_id > head.to_entry_id or self.result_id > head.to_result_id


async def read_head(connection: AsyncConnection) -> Head:
    """Return the chain's head, or GENESIS if there is no seal."""
    row = (await connection.exec_driver_sql(LAST_SEAL)).one_or_none()
    return Head(*tuple(row)) if row else GENESIS


async def read_horizon(connection: AsyncConnection) -> Horizon:
    """Return the last visible ids, and every writer that may hold a smaller one.

    In this order: see payments_core.db.writers.
    """
    last = (await connection.exec_driver_sql(LAST_IDS)).one()
    writers = await open_writers(connection, WRITTEN)
    return Horizon(last.entry_id, last.result_id, writers)


async def is_final(
    connection: AsyncConnection, horizon: Horizon, wait_seconds: float = 0.0
) -> bool:
    """Return whether all writers have ended: their rows are visible, or never will be."""
    return await have_ended(connection, WRITTEN, horizon.writers, wait_seconds)


async def seal_next(engine: AsyncEngine, final: Horizon, keys: Sequence[bytes] = ()) -> Seal | None:
    """Seal the next rows up to the horizon, at most SEAL_ROWS_MAX of each table.

    Returns None if there is nothing to seal, or if another process is sealing. The first key, if
    any, signs the seal. Raises HeadUnsigned if there are keys and none of them signed the last
    seal. The lock belongs to the transaction, so it also works behind a connection pooler.
    """
    async with transaction(engine) as tx:
        if not await _lock(tx):
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
    """Append a seal without rows, signed by the first key, to the chain.

    It lets a new key cover all earlier seals. Returns None if another process is sealing.
    """
    async with transaction(engine) as tx:
        if not await _lock(tx):
            return None
        head = await read_head(tx)
        entries = await _gather(tx, GATHER_ENTRIES, head.to_entry_id, head.to_entry_id)
        results = await _gather(tx, GATHER_RESULTS, head.to_result_id, head.to_result_id)
        return await _append(tx, head, entries, results, keys)


@dataclass(frozen=True, slots=True)
class _Gathered:
    """A range, with its columns of ledger_seals in asyncpg's types."""

    range: SealedRange
    ids: object
    digests: bytes

    def values(self) -> tuple[object, ...]:
        """Return its columns of ledger_seals, in the order of INSERT."""
        sealed = self.range
        return (
            sealed.from_id,
            sealed.to_id,
            sealed.count,
            self.ids,
            sealed.rows_hash,
            self.digests,
        )


async def _gather(tx: AsyncConnection, query: str, after: int, to: int) -> _Gathered:
    """Hash the first rows with ids above `after`, up to `to`."""
    summary = (await tx.exec_driver_sql(query, (after + 1, to))).one()
    sealed = SealedRange(
        from_id=after + 1,
        # If another worker has sealed beyond this horizon meanwhile, it covers nothing new.
        to_id=summary.last_id if summary.rows == SEAL_ROWS_MAX else max(after, to),
        count=summary.rows,
        ids=runs_of(summary.ids),
        rows_hash=summary.hash,
        digests_hash=hashlib.sha256(summary.digests).digest(),
    )
    return _Gathered(sealed, summary.ids, summary.digests)


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


async def _lock(tx: AsyncConnection) -> bool:
    return bool((await tx.exec_driver_sql(LOCK)).scalar())
