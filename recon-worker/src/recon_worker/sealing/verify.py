"""Verification: walks the chain of seals and reports every difference."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from recon_worker.sealing.compare import TABLES, Kind, SealFinding, name_rows
from recon_worker.sealing.format import GENESIS, Head, Seal, SealedRange, is_signed, runs_of

# Bounds on the memory and time of one step: the first seal that reaches either is its last.
STEP_ROWS = 20_000
STEP_SEALS_MAX = 1_000


@dataclass(slots=True)
class Walk:
    """The progress of a verification, and the values that the next seal must have."""

    head: Head = GENESIS
    signed: bool = False
    sound: bool = True  # The last seal matches its hash.
    seals: int = 0
    entries: int = 0
    results: int = 0
    findings: list[SealFinding] = field(default_factory=list)


READ_SEALS = f"""
WITH ahead AS (
    SELECT seq, sum(rows) OVER (ORDER BY seq) - rows AS rows_before
    FROM (SELECT seq, entry_count + coalesce(result_count, 0) AS rows
          FROM ledger_seals WHERE seq > $1 AND seq <= $2
          ORDER BY seq LIMIT {STEP_SEALS_MAX}) AS next
)
SELECT seq, format_version, from_entry_id, to_entry_id, entry_count, entry_ids, entries_hash,
       sha256(entry_digests) AS entries_digests_hash, from_result_id, to_result_id, result_count,
       result_ids, results_hash, sha256(result_digests) AS results_digests_hash, previous_hash,
       seal_hash, mac, sealed_at
FROM ledger_seals
WHERE seq > $1 AND seq <= (SELECT max(seq) FROM ahead WHERE rows_before < $3)
ORDER BY seq"""


async def walk_before(connection: AsyncConnection, seq: int, keys: Sequence[bytes]) -> Walk:
    """Return a walk that starts at `seq` and takes the seals before it as verified.

    Raises LookupError if there is no seal directly before it.
    """
    if seq <= 1:
        return Walk()
    statement = """
        SELECT seq, seal_hash, to_entry_id, mac, coalesce((
            SELECT to_result_id FROM ledger_seals WHERE seq <= $1 AND to_result_id IS NOT NULL
            ORDER BY seq DESC LIMIT 1), 0) AS to_result_id
        FROM ledger_seals WHERE seq = $1"""
    row = (await connection.exec_driver_sql(statement, (seq - 1,))).one_or_none()
    if row is None:
        raise LookupError(f"there is no seal {seq - 1} to continue from")
    head = Head(row.seq, row.seal_hash, row.to_entry_id, row.to_result_id)
    return Walk(head, bool(keys) and is_signed(row.mac, row.seal_hash, keys))


async def verify_chain(
    connection: AsyncConnection, walk: Walk, to_seq: int, keys: Sequence[bytes] = ()
) -> AsyncIterator[Walk]:
    """Verify the seals after the walk's head up to `to_seq`; yield the walk after each step."""
    while await verify_step(connection, walk, to_seq, keys):
        yield walk


async def verify_step(
    connection: AsyncConnection,
    walk: Walk,
    to_seq: int,
    keys: Sequence[bytes] = (),
    rows: int = STEP_ROWS,
) -> bool:
    """Verify the next seals, about `rows` entries and results; return False if there are none."""
    seals = (await connection.exec_driver_sql(READ_SEALS, (walk.head.seq, to_seq, rows))).all()
    # An altered seal is no evidence about its rows.
    sound = [seal for row in seals if (seal := _follow(walk, row, keys)) is not None]
    for version, tables in TABLES.items():
        of_format = {seal.seq: seal for seal in sound if seal.format_version == version}
        for table in tables if of_format else ():
            compared = await connection.exec_driver_sql(table.compare, (list(of_format),))
            for seq in [row.seq for row in compared.all() if not row.same]:
                walk.findings += await name_rows(connection, table, of_format[seq])
    walk.findings.sort(key=SealFinding.position)
    walk.seals += len(seals)
    walk.entries += sum(seal.entries.count for seal in sound)
    walk.results += sum(seal.results.count for seal in sound if seal.results)
    return bool(seals)


def _seal_of(row: AnyRow) -> Seal:
    entries = SealedRange(
        row.from_entry_id,
        row.to_entry_id,
        row.entry_count,
        runs_of(row.entry_ids),
        row.entries_hash,
        row.entries_digests_hash,
    )
    results = None
    if row.from_result_id is not None:
        results = SealedRange(
            row.from_result_id,
            row.to_result_id,
            row.result_count,
            runs_of(row.result_ids),
            row.results_hash,
            row.results_digests_hash,
        )
    return Seal(row.seq, row.format_version, entries, results, row.previous_hash, row.sealed_at)


def _follow(walk: Walk, row: AnyRow, keys: Sequence[bytes]) -> Seal | None:
    """Advance to the next seal and check it; return None if no worker made it in this form."""
    seal = _seal_of(row)
    before, after = walk.head, seal.head(walk.head)
    walk.head = replace(after, seal_hash=row.seal_hash)
    signed = bool(keys) and is_signed(row.mac, row.seal_hash, keys)
    if walk.signed and not signed:
        _found(
            walk, "seal_unsigned", seal.seq, "has no MAC by a known key, but an earlier seal has"
        )
    walk.signed = walk.signed or signed
    intact = after.seal_hash == row.seal_hash
    if seal.seq != before.seq + 1:
        why = f"seals {before.seq + 1} to {seal.seq - 1} are gone"
        _found(walk, "seal_missing", before.seq + 1, why)
    elif intact and seal.previous_hash != before.seal_hash:
        # This seal is intact, but its previous hash is not that of the seal before it.
        why = f"is not the seal that seal {seal.seq} follows"
        _found(walk, "seal_altered", max(before.seq, 1), why)
    elif walk.sound:
        _follow_ranges(walk, seal, before)
    known = seal.format_version in TABLES
    walk.sound = intact and known
    if not walk.sound:
        why = "does not match its hash" if known else f"is of format {seal.format_version}"
        _found(walk, "seal_altered", seal.seq, why)
    return seal if walk.sound else None


def _follow_ranges(walk: Walk, seal: Seal, before: Head) -> None:
    """Check that the seal begins directly after the previous one."""
    begins = [("entry", seal.entries.from_id, before.to_entry_id + 1)]
    if seal.results:
        begins.append(("result", seal.results.from_id, before.to_result_id + 1))
    for what, begun, due in begins:
        if begun != due:
            why = f"does not begin at {what} {due}, directly after the previous seal"
            _found(walk, "seal_altered", seal.seq, why)


def _found(walk: Walk, kind: Kind, seq: int, detail: str) -> None:
    walk.findings.append(SealFinding(kind, seq, detail))
