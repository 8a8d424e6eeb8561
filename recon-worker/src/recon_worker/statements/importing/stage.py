"""Staging of a file: read its stored bytes, and copy its lines to statement_staging."""

import asyncio
import io
from collections.abc import Callable
from typing import TypeVar, cast

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from payments_core.db.tables import recon_sources
from payments_core.statements.sources import other_accounts
from recon_worker.statements.formats.read import read_statements
from recon_worker.statements.importing.checks import COLUMNS, FileReader
from recon_worker.statements.importing.stream import StoredFile

Result = TypeVar("Result")


async def stage(tx: AsyncConnection, file: AnyRow, advance: Callable[[int], None]) -> FileReader:
    """Stage the file's lines; return its reader, which has its statements.

    `advance` is called with the bytes of each chunk. Raises Quarantined, MalformedStatement,
    FileDamaged.
    """
    source = (
        await tx.execute(select(recon_sources).where(recon_sources.c.id == file.source_id))
    ).one()
    stream = StoredFile(tx, file, advance)
    events = read_statements(cast(io.BytesIO, stream), format=source.format, profile=source.profile)
    others = await other_accounts(tx, source)
    reader = FileReader(file.id, source, events, others, vouched=file.accepted_by is not None)
    # Reading is slow and synchronous: in a thread the event loop keeps running.
    while rows := await _in_thread(reader.next_rows, stream):
        driver = (await tx.get_raw_connection()).driver_connection
        assert driver is not None, "the engine's dialect is asyncpg's"
        await driver.copy_records_to_table("statement_staging", records=rows, columns=COLUMNS)
    await _in_thread(stream.drain, stream)
    return reader


async def _in_thread(work: Callable[[], Result], stream: StoredFile) -> Result:
    """Run the work in a thread. A cancellation waits for its end: it uses the connection."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        stream.stop()
        await asyncio.gather(working, return_exceptions=True)
        raise
