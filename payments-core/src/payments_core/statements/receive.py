"""Receiving a file: its bytes, compressed, into Postgres, in constant memory.

The chunks of an upload are stored one by one, each in its own statement: a slow sender holds no
transaction and no connection. The file appears in one transaction once all its bytes are there;
the same bytes for the same source are the file that is there already.
"""

import asyncio
import hashlib
import logging
import zlib
from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.audit_log import Operator, record_action
from payments_core.db.engine import AnyRow, driver_connection, transaction
from payments_core.db.tables import statement_files, statement_uploads
from payments_core.domain.ids import uuid7
from payments_core.domain.statements import CHUNK_BYTES, FILE_NAME_MAX_CHARS
from payments_core.statements.quota import Quota

COMPRESSION_LEVEL = 6
ABANDONED_AFTER = timedelta(hours=24)  # Longer than any upload takes.

log = logging.getLogger(__name__)


class FileTooLarge(ValueError):
    """The file exceeds the limit."""


class FileEmpty(ValueError):
    """The file has no bytes."""


@dataclass(slots=True)
class _Upload:
    """The hashes and the size of the bytes that arrived so far."""

    id: UUID = field(default_factory=uuid7)
    chunks: int = 0
    size_bytes: int = 0
    sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    chunk_hashes: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def add(self, data: bytes) -> bytes:
        """Count the bytes of a chunk and return them compressed."""
        self.sha256.update(data)
        packed = zlib.compress(data, COMPRESSION_LEVEL)
        self.chunk_hashes.update(hashlib.sha256(packed).digest())
        self.chunks += 1
        return packed


async def receive_file(
    engine: AsyncEngine,
    source: AnyRow,
    body: AsyncIterable[bytes],
    *,
    file_name: str | None,
    operator: Operator,
    bytes_max: int,
    quota: Quota | None = None,
) -> tuple[AnyRow, bool]:
    """Store the file; return its row, and whether it is new.

    Raises FileTooLarge, FileEmpty, QuotaExceeded and the body's errors; then no part of the file is
    kept.
    """
    upload = _Upload()
    too_large: Exception = FileTooLarge(
        f"the file has more than {bytes_max} bytes, which is the limit"
    )
    if quota is not None:
        async with transaction(engine) as tx:
            left = await quota.bytes_left(tx, source.tenant)
        if left < bytes_max:
            bytes_max, too_large = left, quota.exceeded()
    try:
        await _store_chunks(engine, upload, body, bytes_max, too_large)
        if not upload.size_bytes:
            raise FileEmpty("the file is empty: choose another file")
        async with transaction(engine) as tx:
            file, new = await _complete(tx, source, upload, file_name, operator)
            if new and quota is not None:
                await quota.check(tx, source.tenant)
            return file, new
    finally:
        # After a success the transaction has moved them.
        await asyncio.shield(_discard(engine, upload))


async def _store_chunks(
    engine: AsyncEngine,
    upload: _Upload,
    body: AsyncIterable[bytes],
    bytes_max: int,
    too_large: Exception,
) -> None:
    waiting = bytearray()
    async for data in body:
        upload.size_bytes += len(data)
        if upload.size_bytes > bytes_max:
            raise too_large
        waiting += data
        while len(waiting) >= CHUNK_BYTES:
            await _store_chunk(engine, upload, bytes(waiting[:CHUNK_BYTES]))
            del waiting[:CHUNK_BYTES]
    if waiting:
        await _store_chunk(engine, upload, bytes(waiting))


_STORE = """
INSERT INTO statement_uploads (upload_id, chunk_no, data, size_bytes) VALUES ($1, $2, $3, $4)"""


async def _store_chunk(engine: AsyncEngine, upload: _Upload, data: bytes) -> None:
    number = upload.chunks
    packed = await asyncio.to_thread(upload.add, data)
    async with driver_connection(engine) as connection:
        await connection.execute(_STORE, upload.id, number, packed, len(data))


_MOVE = text("""
WITH moved AS (
    DELETE FROM statement_uploads WHERE upload_id = :upload_id AND chunk_no BETWEEN :lo AND :hi
    RETURNING chunk_no, data, size_bytes)
INSERT INTO statement_file_chunks (file_id, chunk_no, data, size_bytes)
SELECT CAST(:upload_id AS uuid), chunk_no, data, size_bytes FROM moved""")
_MOVED_AT_ONCE = 32  # Chunks for each statement, so that none runs long.


async def _complete(
    tx: AsyncConnection, source: AnyRow, upload: _Upload, file_name: str | None, operator: Operator
) -> tuple[AnyRow, bool]:
    """Turn the upload into a file, unless its bytes are a file of the source already."""
    files = statement_files.c
    values = {
        "id": upload.id,
        "source_id": source.id,
        "sha256": upload.sha256.digest(),
        "chunks_sha256": upload.chunk_hashes.digest(),
        "size_bytes": upload.size_bytes,
        "file_name": shown_file_name(file_name),
        "actor": operator.name,
    }
    added = upsert(statement_files).values(values).on_conflict_do_nothing()
    new = (await tx.execute(added)).rowcount == 1
    if new:
        moved = 0
        for lo in range(0, upload.chunks, _MOVED_AT_ONCE):
            bounds = {"upload_id": upload.id, "lo": lo, "hi": lo + _MOVED_AT_ONCE - 1}
            moved += (await tx.execute(_MOVE, bounds)).rowcount
        if moved != upload.chunks:  # The server crashed since: the table of uploads is not logged.
            raise ConnectionError(
                f"{upload.chunks - moved} chunks of the upload are lost: repeat it"
            )
        await record_action(
            tx, "receive_statement", operator, subject=f"statement file {upload.id}"
        )
    query = select(statement_files).where(
        files.source_id == source.id, files.sha256 == values["sha256"]
    )
    return (await tx.execute(query)).one(), new


async def _discard(engine: AsyncEngine, upload: _Upload) -> None:
    if not upload.chunks:
        return
    try:
        async with driver_connection(engine) as connection:
            await connection.execute(
                "DELETE FROM statement_uploads WHERE upload_id = $1", upload.id
            )
    except Exception:
        # The worker removes it later: see `remove_abandoned`.
        log.warning("upload_not_removed", extra={"upload": str(upload.id)}, exc_info=True)


async def remove_abandoned(tx: AsyncConnection) -> int:
    """Remove the chunks of uploads whose process ended before they did; return their number."""
    old = statement_uploads.c.created_at < func.now() - ABANDONED_AFTER
    return (await tx.execute(statement_uploads.delete().where(old))).rowcount


def shown_file_name(name: str | None) -> str | None:
    """Return the last part of a path, without control characters, at most as long as stored."""
    if name is None:
        return None
    last = name.replace("\\", "/").rpartition("/")[2]
    printable = "".join(char for char in last if char.isprintable())
    return printable[:FILE_NAME_MAX_CHARS] or None
