"""Verification of accepted files: their bytes are read again and compared with what is stored.

The auditor checks that a line has the fingerprint of its words, and a file the hash of its bytes.
An attacker with the worker's rights can insert lines with true fingerprints: only the bytes differ.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import AnyRow
from payments_core.db.tables import statements
from payments_core.statements.files import FileDamaged
from payments_core.statements.fingerprint import fingerprint_of
from recon_worker.statements.formats.model import MalformedStatement
from recon_worker.statements.importing.checks import Quarantined, ReadStatement
from recon_worker.statements.importing.stage import stage
from recon_worker.statements.importing.store import COUNT_STAGED, WITH_STAGED

# A line that an earlier statement brought is stored there. The fingerprint of a stored line is made
# anew: its words may have changed.
_COMPARE = text(f"""
{WITH_STAGED}
SELECT count(*) FILTER (WHERE staged.row_no IS NULL) AS forged,
       min(stored.line_no) FILTER (WHERE staged.row_no IS NULL) AS first_forged,
       count(*) FILTER (WHERE stored.id IS NULL) AS elsewhere,
       count(*) FILTER (WHERE stored.id IS NULL AND NOT EXISTS (
           SELECT FROM statement_lines AS known
           WHERE known.source_id = :source_id AND known.fingerprint = staged.fingerprint
               AND known.statement_id < :statement_id)) AS missing
FROM staged FULL JOIN (
    SELECT id, line_no, part_no, {fingerprint_of("CAST(:kind AS text)")} AS fingerprint
    FROM statement_lines WHERE statement_id = :statement_id) AS stored
    ON (stored.line_no, stored.part_no, stored.fingerprint)
     = (staged.line_no, staged.part_no, staged.fingerprint)""")


@dataclass(frozen=True, slots=True)
class Difference:
    """What is stored of a file and not in its bytes, or the reverse; `statement` is its number."""

    file_id: UUID
    statement: int | None
    problem: str


async def verify_file(
    engine: AsyncEngine, file: AnyRow, advance: Callable[[int], None]
) -> list[Difference]:
    """Compare an accepted file's bytes with its statements and lines, in constant memory."""
    if file.status != "accepted":
        return [Difference(file.id, None, f"is {file.status}: only an accepted file has lines")]
    async with engine.connect() as tx:
        # Ended by a rollback: nothing of what is staged stays.
        await tx.execute(text("SET LOCAL enable_seqscan = off"))
        try:
            reader = await stage(tx, file, advance)
        except (Quarantined, MalformedStatement, FileDamaged) as error:
            return [Difference(file.id, None, f"its bytes are refused: {error}")]
        query = select(statements).where(statements.c.file_id == file.id)
        stored = {row.number: row for row in (await tx.execute(query)).all()}
        found = []
        for each in reader.statements:
            row = stored.pop(each.header.number, None)
            problems = ["is not stored"] if row is None else await _differences(tx, each, row)
            found += [Difference(file.id, each.header.number, problem) for problem in problems]
        found += [Difference(file.id, number, "is not in the file") for number in sorted(stored)]
        return found


async def _differences(tx: AsyncConnection, read: ReadStatement, row: AnyRow) -> list[str]:
    header, end = read.header, read.end
    values = {
        "file_id": row.file_id,
        "source_id": row.source_id,
        "number": row.number,
        "kind": header.kind,
        "flipped": end.reversals_flipped,
    }
    counted = (await tx.execute(COUNT_STAGED, values)).one()
    of_file = {
        "kind": header.kind,
        "bank_id": header.bank_id,
        "sequence": header.sequence,
        "opening": end.opening,
        "closing": end.closing,
        "net": counted.net,
        "entry_count": end.entry_count,
        "line_count": counted.line_count,
        "from_on": end.from_on or counted.from_on,
        "to_on": end.to_on or counted.to_on,
    }
    problems = [
        f"{name} is {row._mapping[name]}, in the file {value}"
        for name, value in of_file.items()
        if row._mapping[name] != value
    ]
    lines = (await tx.execute(_COMPARE, {**values, "statement_id": row.id})).one()
    if lines.forged:
        problems.append(
            f"{lines.forged} stored lines are not in the file, first {lines.first_forged}"
        )
    if lines.missing or lines.elsewhere != row.known_count:
        problems.append(
            f"{lines.elsewhere} lines of the file are not stored with it, {lines.missing} of them"
            f" nowhere; {row.known_count} were known"
        )
    return problems
