"""Which schema this release's code needs, and whether a database has it."""

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

# The newest of payments_api/migrations; a test keeps the two in step. Numbers sort as texts.
SCHEMA_REVISION = "0014"


async def schema_problem(connection: AsyncConnection) -> str | None:
    """Why the database's schema does not do for this release; None when it does.

    A newer schema does: it is made to be safe beside the release before it.
    """
    try:
        found = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
    except ProgrammingError:
        found = None
    if found is None or found < SCHEMA_REVISION:
        return f"The schema is at {found}, this release needs {SCHEMA_REVISION}: run migrate."
    return None
