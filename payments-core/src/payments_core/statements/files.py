"""Files of statements: find, list, read back, accept or reject."""

import hashlib
import zlib
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from sqlalchemy import Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.audit_log import Operator, record_action
from payments_core.db.engine import AnyRow
from payments_core.db.keyset import NEWEST_FIRST, Walk
from payments_core.db.tables import (
    recon_sources,
    statement_file_chunks,
    statement_files,
    statement_lines,
    statements,
)
from payments_core.domain.statements import ACCEPTABLE_PROBLEMS
from payments_core.domain.statuses import OperatorAction


class FileNotFound(LookupError):
    """No statement file has that id."""


class FileNotQuarantined(ValueError):
    """Only a quarantined file can be accepted or rejected; this one is in another state."""


class FileNotAcceptable(ValueError):
    """What is wrong with this file cannot be accepted: correct the file or the source."""


class FileDamaged(ValueError):
    """The stored bytes do not have the hash of the file as it was received."""


def _files(tenant: str | None) -> Select[tuple[object, ...]]:
    query = select(
        statement_files,
        recon_sources.c.name.label("source_name"),
        recon_sources.c.tenant.label("tenant"),
    ).join(recon_sources, recon_sources.c.id == statement_files.c.source_id)
    return query if tenant is None else query.where(recon_sources.c.tenant == tenant)


async def find_file(tx: AsyncConnection, file_id: UUID, tenant: str | None = None) -> AnyRow:
    """Return the file with its source's name and tenant. Raises FileNotFound."""
    query = _files(tenant).where(statement_files.c.id == file_id)
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise FileNotFound(FileNotFound.__doc__)
    return row


async def list_files(
    tx: AsyncConnection,
    limit: int,
    *,
    tenant: str | None = None,
    source_id: int | None = None,
    status: str | None = None,
    walk: Walk[UUID] = NEWEST_FIRST,
) -> Sequence[AnyRow]:
    """Return files along the walk, by id, a UUIDv7."""
    key = statement_files.c.id
    query = _files(tenant).where(*walk.beyond(key))
    if source_id is not None:
        query = query.where(statement_files.c.source_id == source_id)
    if status is not None:
        query = query.where(statement_files.c.status == status)
    return (await tx.execute(query.order_by(*walk.order(key)).limit(limit))).all()


async def statements_of(tx: AsyncConnection, file_id: UUID) -> Sequence[AnyRow]:
    """Return the statements that the file brought, in its order."""
    query = select(statements).where(statements.c.file_id == file_id)
    return (await tx.execute(query.order_by(statements.c.number))).all()


async def lines_of(
    tx: AsyncConnection, file_id: UUID, limit: int, walk: Walk[int]
) -> Sequence[AnyRow]:
    """Return the lines that the file brought along the walk, by id: the file's order."""
    lines = statement_lines.c
    query = (
        select(statement_lines, statements.c.number)
        .join(statements, statements.c.id == lines.statement_id)
        .where(statements.c.file_id == file_id, *walk.beyond(lines.id))
    )
    return (await tx.execute(query.order_by(*walk.order(lines.id)).limit(limit))).all()


async def decide(
    tx: AsyncConnection,
    file_id: UUID,
    operator: Operator,
    reason: str,
    *,
    accept: bool,
    tenant: str | None = None,
) -> AnyRow:
    """Accept or reject a quarantined file, on record; return its row.

    An accepted file is received again, and imported although it does not add up; one whose import
    never ended is only tried again, and recorded as received. Raises FileNotFound,
    FileNotQuarantined, FileNotAcceptable.
    """
    await find_file(tx, file_id, tenant)
    query = select(statement_files).where(statement_files.c.id == file_id).with_for_update()
    file = (await tx.execute(query)).one()
    if file.status != "quarantined":
        raise FileNotQuarantined(f"File {file_id} is {file.status}, not quarantined.")
    if accept and file.problem_code not in ACCEPTABLE_PROBLEMS:
        raise FileNotAcceptable(
            f"{file.problem_at}: {file.problem}. An operator cannot accept this: correct the file"
            " or the source, and import again."
        )
    action: OperatorAction = "reject_statement"
    values: dict[str, object] = {"status": "rejected", "decided_at": func.now()}
    if accept:
        values = {"status": "received", "decided_at": None}
        values |= dict.fromkeys(("problem_code", "problem", "problem_at"))
        if file.problem_code == "unfinished":
            action = "receive_statement"
        else:
            action = "accept_statement"
            values |= {"accepted_by": operator.name, "accept_reason": reason}
    await tx.execute(update(statement_files).where(statement_files.c.id == file_id).values(values))
    await record_action(tx, action, operator, reason, subject=f"statement file {file_id}")
    return await find_file(tx, file_id, tenant)


async def read_chunk(tx: AsyncConnection, file_id: UUID, number: int) -> bytes:
    """Return the bytes of one chunk, as received; b"" after the last one."""
    query = select(statement_file_chunks.c.data, statement_file_chunks.c.size_bytes).where(
        statement_file_chunks.c.file_id == file_id, statement_file_chunks.c.chunk_no == number
    )
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        return b""
    packed = zlib.decompressobj()
    try:
        data = packed.decompress(row.data, row.size_bytes + 1)
    except zlib.error as error:
        raise FileDamaged(f"chunk {number} is not readable: {error}") from None
    if len(data) != row.size_bytes:
        raise FileDamaged(f"chunk {number} does not have the {row.size_bytes} bytes recorded")
    return data


async def read_file(tx: AsyncConnection, file: AnyRow) -> AsyncIterator[bytes]:
    """Yield the file's bytes as received. Raises FileDamaged, at the end also for their hash."""
    digest, number = hashlib.sha256(), 0
    while data := await read_chunk(tx, file.id, number):
        digest.update(data)
        number += 1
        yield data
    if digest.digest() != file.sha256:
        raise FileDamaged(FileDamaged.__doc__)
