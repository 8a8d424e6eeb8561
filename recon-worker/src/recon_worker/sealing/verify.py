"""Walks the chain of seals and what they seal, and names what is not as it was sealed."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from recon_worker.sealing.format import (
    DIGEST_BYTES,
    ENTRY_HASH,
    FORMAT_VERSION,
    GENESIS,
    SUMMARY,
    Head,
    Seal,
    is_signed,
    runs_of,
)

# What one statement looks at, so that memory and time have a bound: the first seal that
# reaches either is the last one of its step.
STEP_ENTRIES = 20_000
STEP_SEALS_MAX = 1_000

Kind = Literal[
    "altered",  # An entry is not what was sealed.
    "missing",  # An entry that was sealed is gone.
    "inserted",  # An entry is there whose id was sealed as a gap, or was never handed out.
    "seal_altered",  # A seal is not what its own hash says, or does not follow the one before.
    "seal_missing",  # Seals are gone from the middle of the chain.
    "seal_unsigned",  # A seal has no MAC of a known key, though the chain had been signed.
    "head_missing",  # The chain ends before a head that was seen or kept elsewhere.
    "head_rewritten",  # The chain has another seal where a head was seen or kept.
]


@dataclass(frozen=True, slots=True)
class SealFinding:
    """One thing that is not as it was sealed, in or at seal `seq`."""

    kind: Kind
    seq: int
    entry_id: int | None
    detail: str


@dataclass(slots=True)
class Walk:
    """How far the chain is verified, and what to expect of the next seal."""

    head: Head = GENESIS
    signed: bool = False
    sound: bool = True  # The last seal is what its own hash says.
    seals: int = 0
    entries: int = 0
    findings: list[SealFinding] = field(default_factory=list)


READ_SEALS = f"""
WITH ahead AS (
    SELECT seq, sum(entry_count) OVER (ORDER BY seq) - entry_count AS entries_before
    FROM (SELECT seq, entry_count FROM ledger_seals WHERE seq > $1 AND seq <= $2
          ORDER BY seq LIMIT {STEP_SEALS_MAX}) AS next
)
SELECT seq, format_version, from_entry_id, to_entry_id, entry_count, entry_ids, entries_hash,
       sha256(entry_digests) AS digests_hash, previous_hash, seal_hash, mac, sealed_at
FROM ledger_seals
WHERE seq > $1 AND seq <= (SELECT max(seq) FROM ahead WHERE entries_before < $3)
ORDER BY seq"""

# The entries of several seals, each range by the primary key. OFFSET 0 keeps the hash, which is
# used twice, from being made twice.
COMPARE = f"""
SELECT seal.seq, found.entry_count,
       (found.entry_count, found.entry_ids, found.entries_hash, found.entry_digests)
       IS NOT DISTINCT FROM
       (seal.entry_count, seal.entry_ids, seal.entries_hash, seal.entry_digests) AS same
FROM ledger_seals AS seal
CROSS JOIN LATERAL (
    SELECT {SUMMARY}
    FROM (SELECT id, {ENTRY_HASH} AS hash FROM ledger_entries
          WHERE id BETWEEN seal.from_entry_id AND seal.to_entry_id OFFSET 0) AS entry
) AS found
WHERE seal.seq = ANY ($1::bigint[])
ORDER BY seal.seq"""

SEALED_IDS = "SELECT entry_ids, entry_digests FROM ledger_seals WHERE seq = $1"
FOUND_DIGESTS = f"""
SELECT id, substr({ENTRY_HASH}, 1, {DIGEST_BYTES}) AS digest FROM ledger_entries
WHERE id BETWEEN $1 AND $2 ORDER BY id"""

NEVER_HANDED_OUT = """
(SELECT id FROM ledger_entries WHERE id < 1 ORDER BY id LIMIT 10)
UNION ALL
(SELECT id FROM ledger_entries WHERE id > (SELECT last_value FROM ledger_entries_id_seq)
 ORDER BY id LIMIT 10)"""


async def walk_before(connection: AsyncConnection, seq: int, keys: Sequence[bytes]) -> Walk:
    """Where a walk begins that takes all seals before `seq` for verified.

    Raises LookupError when there is no seal before it to go on from.
    """
    if seq <= 1:
        return Walk()
    statement = "SELECT seq, seal_hash, to_entry_id, mac FROM ledger_seals WHERE seq = $1"
    row = (await connection.exec_driver_sql(statement, (seq - 1,))).one_or_none()
    if row is None:
        raise LookupError(f"there is no seal {seq - 1} to go on from")
    head = Head(row.seq, row.seal_hash, row.to_entry_id)
    return Walk(head, bool(keys) and is_signed(row.mac, row.seal_hash, keys))


async def verify_chain(
    connection: AsyncConnection, walk: Walk, to_seq: int, keys: Sequence[bytes] = ()
) -> AsyncIterator[Walk]:
    """Verify the seals after the walk's head up to `to_seq`; the walk after each step."""
    while await verify_step(connection, walk, to_seq, keys):
        yield walk


async def verify_step(
    connection: AsyncConnection,
    walk: Walk,
    to_seq: int,
    keys: Sequence[bytes] = (),
    entries: int = STEP_ENTRIES,
) -> bool:
    """Verify the next seals, of about so many entries; False when there is none."""
    rows = (await connection.exec_driver_sql(READ_SEALS, (walk.head.seq, to_seq, entries))).all()
    # A seal that was altered cannot tell what its entries were.
    sound = {seal.seq: seal for row in rows if (seal := _follow(walk, row, keys)) is not None}
    if sound:
        compared = await connection.exec_driver_sql(COMPARE, (list(sound),))
        for row in compared.all():
            walk.entries += row.entry_count
            if not row.same:
                walk.findings += await _name_entries(connection, sound[row.seq])
    walk.seals += len(rows)
    return bool(rows)


def _follow(walk: Walk, row: AnyRow, keys: Sequence[bytes]) -> Seal | None:
    """Step on to the next seal; None when it is not one that the worker made."""
    seal = Seal(
        row.seq,
        row.format_version,
        row.from_entry_id,
        row.to_entry_id,
        row.entry_count,
        runs_of(row.entry_ids),
        row.entries_hash,
        row.digests_hash,
        row.previous_hash,
        row.sealed_at,
    )
    before, walk.head = walk.head, Head(seal.seq, row.seal_hash, seal.to_entry_id)
    signed = bool(keys) and is_signed(row.mac, row.seal_hash, keys)
    if walk.signed and not signed:
        _found(walk, "seal_unsigned", seal.seq, "has no MAC of a known key; one before it has")
    walk.signed = walk.signed or signed
    intact = seal.hash() == row.seal_hash
    if seal.seq != before.seq + 1:
        why = f"seals {before.seq + 1} to {seal.seq - 1} are gone"
        _found(walk, "seal_missing", before.seq + 1, why)
    elif intact and seal.previous_hash != before.seal_hash:
        # This one is what it was, and holds the hash of another than the one before it.
        why = f"is not the seal that seal {seal.seq} follows"
        _found(walk, "seal_altered", max(before.seq, 1), why)
    elif walk.sound and seal.from_entry_id != before.to_entry_id + 1:
        why = f"does not begin at entry {before.to_entry_id + 1}, where the one before it ended"
        _found(walk, "seal_altered", seal.seq, why)
    walk.sound = intact and seal.format_version == FORMAT_VERSION
    if not walk.sound:
        known = seal.format_version == FORMAT_VERSION
        why = "is not what its own hash says" if known else f"is of format {seal.format_version}"
        _found(walk, "seal_altered", seal.seq, why)
    return seal if walk.sound else None


def _found(walk: Walk, kind: Kind, seq: int, detail: str) -> None:
    walk.findings.append(SealFinding(kind, seq, None, detail))


async def _name_entries(connection: AsyncConnection, seal: Seal) -> list[SealFinding]:
    """Which entries of the seal are not as they were sealed, in the order of their ids."""
    (kept,) = (await connection.exec_driver_sql(SEALED_IDS, (seal.seq,))).all()
    ids = chain.from_iterable(range(first, last + 1) for first, last in seal.entry_ids)
    digests = kept.entry_digests
    sealed = {
        entry_id: digests[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES]
        for place, entry_id in enumerate(ids)
    }
    bounds = (seal.from_entry_id, seal.to_entry_id)
    rows = (await connection.exec_driver_sql(FOUND_DIGESTS, bounds)).all()
    found: Mapping[int, Any] = {row.id: row.digest for row in rows}
    findings = []
    for entry_id in sorted(sealed.keys() | found.keys()):
        if entry_id not in found:
            findings.append(SealFinding("missing", seal.seq, entry_id, "was sealed and is gone"))
        elif entry_id not in sealed:
            why = "came into the ledger after the id was sealed as a gap"
            findings.append(SealFinding("inserted", seal.seq, entry_id, why))
        elif sealed[entry_id] != found[entry_id]:
            findings.append(SealFinding("altered", seal.seq, entry_id, "is not what was sealed"))
    if findings:
        return findings
    why = "one of its entries was altered so that its short digest is the same"
    return [SealFinding("altered", seal.seq, None, why)]


async def never_handed_out(connection: AsyncConnection, head: Head) -> list[SealFinding]:
    """Entries whose ids the sequence never gave: put in by hand, outside every seal's range."""
    rows = (await connection.exec_driver_sql(NEVER_HANDED_OUT)).all()
    why = "has an id that the sequence has not handed out"
    return [SealFinding("inserted", head.seq, row.id, why) for row in rows]
