"""The source or file that a request names, if its sender may see it."""

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_api.auth.middleware import caller
from payments_api.http.errors import SourceNotFound, StatementNotFound
from payments_api.http.query_params import checked_uuid
from payments_core.db.engine import AnyRow
from payments_core.statements import files
from payments_core.statements import sources as source_rows


async def source_named(tx: AsyncConnection, name: str) -> AnyRow:
    """Return the source that the caller knows by this name. Raises SourceNotFound."""
    if "\0" in name:  # Postgres cannot store it.
        raise SourceNotFound
    try:
        return await source_rows.find_source(tx, name, caller().tenant)
    except source_rows.SourceNotFound:
        raise SourceNotFound from None


async def file_with(tx: AsyncConnection, statement_id: str) -> AnyRow:
    """Return the file that the caller knows by this id. Raises StatementNotFound."""
    file_id = checked_uuid(statement_id, StatementNotFound)
    try:
        return await files.find_file(tx, file_id, caller().tenant)
    except files.FileNotFound:
        raise StatementNotFound from None
