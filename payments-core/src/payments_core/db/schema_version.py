"""The schema revision that this release needs, and whether a database has it."""

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

# The newest of payments_api/migrations; a test keeps the two in step. Numbers sort as texts.
SCHEMA_REVISION = "0014"


async def schema_problem(connection: AsyncConnection) -> str | None:
    """Return why the database's schema does not fit this release, or None if it fits.

    A newer schema fits: revisions are safe beside the previous release.
    """
    try:
        found = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
    except ProgrammingError:
        found = None
    if found is None or found < SCHEMA_REVISION:
        return f"The schema is at {found}, this release needs {SCHEMA_REVISION}: run migrate."
    return None
