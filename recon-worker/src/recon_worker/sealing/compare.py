"""Compare the rows of a table with the seals over them, and name those that differ."""

from dataclasses import dataclass
from itertools import chain
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from recon_worker.sealing.format import FORMAT_VERSION, Head, Seal
from recon_worker.sealing.row_hashes import DIGEST_BYTES, ENTRIES, RESULTS, SUMMARY

Kind = Literal[
    "altered",  # An entry, a result or its payment differs from the sealed one.
    "missing",  # An entry or a result that was sealed is gone.
    "inserted",  # A row has an id that was sealed as a gap, or that the sequence never handed out.
    "seal_altered",  # A seal does not match its hash, or does not follow the previous seal.
    "seal_missing",  # Seals are gone from the middle of the chain.
    "seal_unsigned",  # A seal has no MAC by a known key, although the chain was signed.
    "head_missing",  # The chain ends before a head that was read or kept earlier.
    "head_rewritten",  # The chain has another seal in place of a head read or kept earlier.
]


@dataclass(frozen=True, slots=True)
class SealFinding:
    """A difference from the seals, in or at seal `seq`."""

    kind: Kind
    seq: int
    detail: str
    entry_id: int | None = None
    result_id: int | None = None
    payment_id: str | None = None

    def position(self) -> tuple[int, int, int]:
        """Return the key by which findings are sorted."""
        return self.seq, self.entry_id or 0, self.result_id or 0


@dataclass(frozen=True, slots=True)
class Table:
    """How the rows of one table are compared with the seals of one format."""

    rows: str
    of_seal: Literal["entry", "result"]
    plural: Literal["entries", "results"]

    @property
    def compare(self) -> str:
        """Return the query that compares seals with their rows, each range by the primary key.

        OFFSET 0 keeps Postgres from computing the hash twice: it is used twice.
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
        """Return the query for the digests that a seal holds."""
        return f"SELECT {self.of_seal}_digests FROM ledger_seals WHERE seq = $1"

    @property
    def current(self) -> str:
        """Return the query for the digests of the current rows."""
        return f"""
            SELECT id, payment_id::text, substr(hash, 1, {DIGEST_BYTES}) AS digest
            FROM ({self.rows} BETWEEN $1 AND $2) AS row ORDER BY id"""

    def finding(
        self, kind: Kind, seq: int, why: str, row_id: int | None, payment_id: str | None = None
    ) -> SealFinding:
        """Return a finding about one row; `row_id` is None if the row is unknown."""
        if self.of_seal == "entry":
            return SealFinding(kind, seq, why, row_id, None, payment_id)
        return SealFinding(kind, seq, why, None, row_id, payment_id)


TABLES = {
    1: (Table(ENTRIES[1], "entry", "entries"),),
    **{
        version: (
            Table(ENTRIES[version], "entry", "entries"),
            Table(RESULTS[version], "result", "results"),
        )
        for version in (2, 3, 4)
    },
}

NEVER_HANDED_OUT = """
(SELECT id, payment_id::text FROM {table} WHERE id < 1 ORDER BY id LIMIT 10)
UNION ALL
(SELECT id, payment_id::text FROM {table} WHERE id > (SELECT last_value FROM {table}_id_seq)
 ORDER BY id LIMIT 10)"""


async def name_rows(connection: AsyncConnection, table: Table, seal: Seal) -> list[SealFinding]:
    """Return a finding for each row that differs from the seal, in the order of ids."""
    covered = seal.entries if table.of_seal == "entry" else seal.results
    assert covered is not None, "TABLES lists the tables of each format"
    digests: bytes = (await connection.exec_driver_sql(table.digests, (seal.seq,))).scalar_one()
    ids = chain.from_iterable(range(first, last + 1) for first, last in covered.ids)
    sealed = {
        row_id: digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]
        for index, row_id in enumerate(ids)
    }
    rows = (await connection.exec_driver_sql(table.current, (covered.from_id, covered.to_id))).all()
    current = {row.id: row for row in rows}
    or_payment = ", or its payment does" if table.of_seal == "result" else ""
    findings = []
    for row_id in sorted(sealed.keys() | current.keys()):
        if row_id not in current:
            findings.append(table.finding("missing", seal.seq, "was sealed and is missing", row_id))
            continue
        payment_id = current[row_id].payment_id
        if row_id not in sealed:
            why = "was inserted after its id was sealed as a gap"
            findings.append(table.finding("inserted", seal.seq, why, row_id, payment_id))
        elif sealed[row_id] != current[row_id].digest:
            why = f"differs from its seal{or_payment}"
            findings.append(table.finding("altered", seal.seq, why, row_id, payment_id))
    if findings:
        return findings
    why = f"one of its {table.plural} was altered without a change of its short digest"
    return [table.finding("altered", seal.seq, why, None)]


async def never_handed_out(connection: AsyncConnection, head: Head) -> list[SealFinding]:
    """Return a finding for each row whose id the sequence never handed out."""
    findings = []
    why = "has an id that the sequence has not handed out"
    for name, table in (
        ("ledger_entries", TABLES[FORMAT_VERSION][0]),
        ("reconciliation_results", TABLES[FORMAT_VERSION][1]),
    ):
        rows = await connection.exec_driver_sql(NEVER_HANDED_OUT.format(table=name))
        findings += [
            table.finding("inserted", head.seq, why, row.id, row.payment_id) for row in rows
        ]
    return findings
