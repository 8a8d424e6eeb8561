"""Compare the rows of a table with the seals over them, and name those that differ."""

from dataclasses import dataclass
from itertools import chain
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from recon_worker.sealing.format import DIGEST_BYTES, ENTRIES, RESULTS, SUMMARY, Head, Seal

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


@dataclass(frozen=True, slots=True)
class Table:
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


TABLES = {
    1: (Table(ENTRIES[1], "entry", "entries"),),
    2: (Table(ENTRIES[2], "entry", "entries"), Table(RESULTS[2], "result", "results")),
}

NEVER_HANDED_OUT = """
(SELECT id, payment_id::text FROM {table} WHERE id < 1 ORDER BY id LIMIT 10)
UNION ALL
(SELECT id, payment_id::text FROM {table} WHERE id > (SELECT last_value FROM {table}_id_seq)
 ORDER BY id LIMIT 10)"""


async def name_rows(connection: AsyncConnection, table: Table, seal: Seal) -> list[SealFinding]:
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
        ("ledger_entries", TABLES[2][0]),
        ("reconciliation_results", TABLES[2][1]),
    ):
        rows = await connection.exec_driver_sql(NEVER_HANDED_OUT.format(table=name))
        findings += [
            table.finding("inserted", head.seq, why, row.id, row.payment_id) for row in rows
        ]
    return findings
