"""Walks the chain of seals and what they seal, and names what is not as it was sealed."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from recon_worker.sealing.format import (
    DIGEST_BYTES,
    ENTRIES,
    GENESIS,
    RESULTS,
    SUMMARY,
    Head,
    Seal,
    SealedRange,
    is_signed,
    runs_of,
)

# What one statement looks at, so that memory and time have a bound: the first seal that
# reaches either is the last one of its step.
STEP_ROWS = 20_000
STEP_SEALS_MAX = 1_000

Kind = Literal[
    "altered",  # An entry, a result or its payment is not what was sealed.
    "missing",  # An entry or a result that was sealed is gone.
    "inserted",  # A row is there whose id was sealed as a gap, or was never handed out.
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
    detail: str
    entry_id: int | None = None
    result_id: int | None = None
    payment_id: str | None = None

    def place(self) -> tuple[int, int, int]:
        """Return its place in the order in which findings are shown."""
        return self.seq, self.entry_id or 0, self.result_id or 0


@dataclass(slots=True)
class Walk:
    """How far the chain is verified, and what to expect of the next seal."""

    head: Head = GENESIS
    signed: bool = False
    sound: bool = True  # The last seal is what its own hash says.
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


@dataclass(frozen=True, slots=True)
class _Table:
    """How the rows of one table are compared with the seals of one format."""

    rows: str
    of_seal: Literal["entry", "result"]
    plural: Literal["entries", "results"]

    @property
    def compare(self) -> str:
        """Of several seals: each range by the primary key.

        OFFSET 0 keeps the hash, which is used twice, from being made twice.
        """
        one, many = self.of_seal, self.plural
        return f"""
            SELECT seal.seq, (found.rows, found.ids, found.hash, found.digests) IS NOT DISTINCT FROM
                   (seal.{one}_count, seal.{one}_ids, seal.{many}_hash, seal.{one}_digests) AS same
            FROM ledger_seals AS seal
            CROSS JOIN LATERAL (
                SELECT {SUMMARY}
                FROM ({self.rows} BETWEEN seal.from_{one}_id AND seal.to_{one}_id OFFSET 0) AS row
            ) AS found
            WHERE seal.seq = ANY ($1::bigint[])
            ORDER BY seal.seq"""

    @property
    def digests(self) -> str:
        """What a seal keeps of its rows."""
        return f"SELECT {self.of_seal}_digests FROM ledger_seals WHERE seq = $1"

    @property
    def found(self) -> str:
        """The same of the rows that are there now."""
        return f"""
            SELECT id, payment_id::text, substr(hash, 1, {DIGEST_BYTES}) AS digest
            FROM ({self.rows} BETWEEN $1 AND $2) AS row ORDER BY id"""

    def finding(
        self, kind: Kind, seq: int, why: str, row_id: int | None, payment_id: str | None = None
    ) -> SealFinding:
        """Accuse one row, or one of the seal's rows when its id is None."""
        if self.of_seal == "entry":
            return SealFinding(kind, seq, why, row_id, None, payment_id)
        return SealFinding(kind, seq, why, None, row_id, payment_id)


_TABLES = {
    1: (_Table(ENTRIES[1], "entry", "entries"),),
    2: (_Table(ENTRIES[2], "entry", "entries"), _Table(RESULTS[2], "result", "results")),
}

NEVER_HANDED_OUT = """
(SELECT id, payment_id::text FROM {table} WHERE id < 1 ORDER BY id LIMIT 10)
UNION ALL
(SELECT id, payment_id::text FROM {table} WHERE id > (SELECT last_value FROM {table}_id_seq)
 ORDER BY id LIMIT 10)"""


async def walk_before(connection: AsyncConnection, seq: int, keys: Sequence[bytes]) -> Walk:
    """Return where a walk begins that takes all seals before `seq` for verified.

    Raises LookupError when there is no seal before it to go on from.
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
        raise LookupError(f"there is no seal {seq - 1} to go on from")
    head = Head(row.seq, row.seal_hash, row.to_entry_id, row.to_result_id)
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
    rows: int = STEP_ROWS,
) -> bool:
    """Verify the next seals, of about so many entries and results; False when there is none."""
    seals = (await connection.exec_driver_sql(READ_SEALS, (walk.head.seq, to_seq, rows))).all()
    # A seal that was altered cannot tell what its rows were.
    sound = [seal for row in seals if (seal := _follow(walk, row, keys)) is not None]
    for version, tables in _TABLES.items():
        of_format = {seal.seq: seal for seal in sound if seal.format_version == version}
        for table in tables if of_format else ():
            compared = await connection.exec_driver_sql(table.compare, (list(of_format),))
            for seq in [row.seq for row in compared.all() if not row.same]:
                walk.findings += await _name_rows(connection, table, of_format[seq])
    walk.findings.sort(key=SealFinding.place)
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
    """Step on to the next seal; None when it is not one that the worker made."""
    seal = _seal_of(row)
    before, after = walk.head, seal.head(walk.head)
    walk.head = replace(after, seal_hash=row.seal_hash)
    signed = bool(keys) and is_signed(row.mac, row.seal_hash, keys)
    if walk.signed and not signed:
        _found(walk, "seal_unsigned", seal.seq, "has no MAC of a known key; one before it has")
    walk.signed = walk.signed or signed
    intact = after.seal_hash == row.seal_hash
    if seal.seq != before.seq + 1:
        why = f"seals {before.seq + 1} to {seal.seq - 1} are gone"
        _found(walk, "seal_missing", before.seq + 1, why)
    elif intact and seal.previous_hash != before.seal_hash:
        # This one is what it was, and holds the hash of another than the one before it.
        why = f"is not the seal that seal {seal.seq} follows"
        _found(walk, "seal_altered", max(before.seq, 1), why)
    elif walk.sound:
        _follow_ranges(walk, seal, before)
    known = seal.format_version in _TABLES
    walk.sound = intact and known
    if not walk.sound:
        why = "is not what its own hash says" if known else f"is of format {seal.format_version}"
        _found(walk, "seal_altered", seal.seq, why)
    return seal if walk.sound else None


def _follow_ranges(walk: Walk, seal: Seal, before: Head) -> None:
    """Check that the seal begins where the one before it ended."""
    begins = [("entry", seal.entries.from_id, before.to_entry_id + 1)]
    if seal.results:
        begins.append(("result", seal.results.from_id, before.to_result_id + 1))
    for what, begun, due in begins:
        if begun != due:
            why = f"does not begin at {what} {due}, where the one before it ended"
            _found(walk, "seal_altered", seal.seq, why)


def _found(walk: Walk, kind: Kind, seq: int, detail: str) -> None:
    walk.findings.append(SealFinding(kind, seq, detail))


async def _name_rows(connection: AsyncConnection, table: _Table, seal: Seal) -> list[SealFinding]:
    """Return which rows of the seal are not as they were sealed, in the order of their ids."""
    kept = seal.entries if table.of_seal == "entry" else seal.results
    assert kept is not None  # Only formats that seal a table are compared with it.
    digests: bytes = (await connection.exec_driver_sql(table.digests, (seal.seq,))).scalar_one()
    ids = chain.from_iterable(range(first, last + 1) for first, last in kept.ids)
    sealed = {
        row_id: digests[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES]
        for place, row_id in enumerate(ids)
    }
    rows = (await connection.exec_driver_sql(table.found, (kept.from_id, kept.to_id))).all()
    found = {row.id: row for row in rows}
    or_payment = ", or its payment is not" if table.of_seal == "result" else ""
    findings = []
    for row_id in sorted(sealed.keys() | found.keys()):
        if row_id not in found:
            findings.append(table.finding("missing", seal.seq, "was sealed and is gone", row_id))
            continue
        payment_id = found[row_id].payment_id
        if row_id not in sealed:
            why = "came into the ledger after the id was sealed as a gap"
            findings.append(table.finding("inserted", seal.seq, why, row_id, payment_id))
        elif sealed[row_id] != found[row_id].digest:
            why = f"is not what was sealed{or_payment}"
            findings.append(table.finding("altered", seal.seq, why, row_id, payment_id))
    if findings:
        return findings
    why = f"one of its {table.plural} was altered so that its short digest is the same"
    return [table.finding("altered", seal.seq, why, None)]


async def never_handed_out(connection: AsyncConnection, head: Head) -> list[SealFinding]:
    """Return rows whose ids the sequence never gave: put in by hand, outside every seal."""
    findings = []
    why = "has an id that the sequence has not handed out"
    for name, table in (
        ("ledger_entries", _TABLES[2][0]),
        ("reconciliation_results", _TABLES[2][1]),
    ):
        rows = await connection.exec_driver_sql(NEVER_HANDED_OUT.format(table=name))
        findings += [
            table.finding("inserted", head.seq, why, row.id, row.payment_id) for row in rows
        ]
    return findings
