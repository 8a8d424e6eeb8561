"""The sealer: chains hashes over what was posted, behind the writers and never in their way.

Whoever inserts entries takes no lock of ours and waits for nothing. A seal covers a range of
ids up to which the ledger is final, so an id that is missing in it is sealed as missing: a row
that shows up there later was put there by somebody who went around the ledger.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import AnyRow, transaction
from recon_worker.sealing.format import (
    ENTRY_HASH,
    FORMAT_VERSION,
    GENESIS,
    SUMMARY,
    Head,
    Seal,
    is_signed,
    mac_of,
    runs_of,
)

SEAL_ENTRIES_MAX = 10_000  # 60 ms of Postgres' time, 80 kB of digests.

# One sealer at a time, or a verifier: a row's lock needs UPDATE on it, an advisory one nothing.
# A sealer of an earlier release has its advisory lock; then the second insert of a number fails.
ALONE = "SELECT true FROM seal_verification FOR UPDATE SKIP LOCKED"

LAST_SEAL = "SELECT seq, seal_hash, to_entry_id FROM ledger_seals ORDER BY seq DESC LIMIT 1"
MAC_OF_SEAL = "SELECT mac FROM ledger_seals WHERE seq = $1"

# Ids beyond the sequence's were not handed out by it: they are left to `audit --seal` to accuse.
LAST_ENTRY = """
SELECT coalesce(max(id), 0) FROM ledger_entries
WHERE id <= (SELECT last_value FROM ledger_entries_id_seq)"""

# Who inserts holds this lock from before the first id until the end of the transaction. A
# prepared transaction has no process, and may have changed its name while being prepared.
WRITERS = """
SELECT virtualtransaction AS writer, pid IS NULL AS prepared FROM pg_locks
WHERE locktype = 'relation' AND relation = 'ledger_entries'::regclass
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND mode = 'RowExclusiveLock' AND granted"""

GATHER = f"""
SELECT {SUMMARY}, clock_timestamp() AS now
FROM (SELECT id, {ENTRY_HASH} AS hash FROM ledger_entries
      WHERE id > $1 AND id <= $2 ORDER BY id LIMIT {SEAL_ENTRIES_MAX}) AS entry"""

INSERT = """
INSERT INTO ledger_seals (seq, format_version, from_entry_id, to_entry_id, entry_count, entry_ids,
                          entries_hash, entry_digests, previous_hash, seal_hash, mac, sealed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"""


class HeadUnsigned(Exception):
    """The last seal has no MAC of a known key; `recon-worker audit --sign-head` accepts it."""

    def __str__(self) -> str:
        """The docstring: it is written for whoever reads the log."""
        return str(self.__doc__)


@dataclass(frozen=True, slots=True)
class Horizon:
    """No id up to `entry_id` can be committed any more once all of `writers` have ended."""

    entry_id: int
    writers: frozenset[str]


async def read_head(connection: AsyncConnection) -> Head:
    """The last seal; GENESIS when there is none."""
    row = (await connection.exec_driver_sql(LAST_SEAL)).one_or_none()
    return Head(row.seq, row.seal_hash, row.to_entry_id) if row else GENESIS


async def see_horizon(connection: AsyncConnection) -> Horizon:
    """The last entry there is, and everybody who may hold a smaller id.

    Two statements, in this order: whoever took an id below the last visible one did so before
    that one was seen, and is therefore still among the writers, or has ended.
    """
    last = (await connection.exec_driver_sql(LAST_ENTRY)).scalar_one()
    return Horizon(last, frozenset(row.writer for row in await _writers(connection)))


async def is_final(connection: AsyncConnection, horizon: Horizon) -> bool:
    """Whether all those writers have ended: their entries are visible, or never will be."""
    return not horizon.writers or not any(
        row.prepared or row.writer in horizon.writers for row in await _writers(connection)
    )


async def seal_next(engine: AsyncEngine, final_to: int, keys: Sequence[bytes] = ()) -> Seal | None:
    """Seal the next entries up to the id `final_to`, at most SEAL_ENTRIES_MAX of them.

    None when there is nothing to seal, or another is sealing. With keys, the first one signs,
    and a chain whose last seal none of them signed is not built upon: raises HeadUnsigned.
    The lock is the transaction's, so that it also holds behind a pooler of connections.
    """
    async with transaction(engine) as tx:
        if not await _alone(tx):
            return None
        head = await read_head(tx)
        if final_to <= head.to_entry_id:
            return None
        if keys and head != GENESIS:
            mac = (await tx.exec_driver_sql(MAC_OF_SEAL, (head.seq,))).scalar()
            if not is_signed(mac, head.seal_hash, keys):
                raise HeadUnsigned
        found = (await tx.exec_driver_sql(GATHER, (head.to_entry_id, final_to))).one()
        if found.entry_count == 0:
            return None
        full = found.entry_count == SEAL_ENTRIES_MAX
        return await _append(tx, head, found.last_id if full else final_to, found, keys)


async def sign_head(engine: AsyncEngine, keys: Sequence[bytes]) -> Seal | None:
    """Chain a seal of no entries, signed by the first key, to whatever is there now.

    So a key that is introduced later covers what was sealed before it. None when another is
    sealing.
    """
    async with transaction(engine) as tx:
        if not await _alone(tx):
            return None
        head = await read_head(tx)
        found = (await tx.exec_driver_sql(GATHER, (head.to_entry_id, head.to_entry_id))).one()
        return await _append(tx, head, head.to_entry_id, found, keys)


async def _append(
    tx: AsyncConnection, head: Head, to_entry_id: int, found: AnyRow, keys: Sequence[bytes]
) -> Seal:
    seal = Seal(
        seq=head.seq + 1,
        format_version=FORMAT_VERSION,
        from_entry_id=head.to_entry_id + 1,
        to_entry_id=to_entry_id,
        entry_count=found.entry_count,
        entry_ids=runs_of(found.entry_ids),
        entries_hash=found.entries_hash,
        digests_hash=hashlib.sha256(found.entry_digests).digest(),
        previous_hash=head.seal_hash,
        sealed_at=found.now,
    )
    seal_hash = seal.hash()
    await tx.exec_driver_sql(
        INSERT,
        (
            seal.seq,
            seal.format_version,
            seal.from_entry_id,
            seal.to_entry_id,
            seal.entry_count,
            found.entry_ids,
            seal.entries_hash,
            found.entry_digests,
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
