"""The schema version that this release needs, and the releases that a schema still serves."""

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

# The newest revision in payments_api/migrations; a test compares the two. Numbers sort as text.
SCHEMA_REVISION = "0030"

# The migration leaves the bound as a comment on Alembic's table: a release that does not know the
# revision can read it, and every role may.
BOUND_LABEL = "oldest compatible revision: "

FOUND = f"""
SELECT version_num,
       substring(obj_description(CAST('alembic_version' AS regclass), 'pg_class')
                 FROM '{BOUND_LABEL}(.*)')
FROM alembic_version"""


def ahead_problem(found: str, bound: str | None, ours: str) -> str | None:
    """Return why code of revision `ours` cannot serve on a newer schema; None if it can.

    `bound` is the oldest revision whose code works on the schema, as its migration recorded it.
    """
    if bound is not None and ours >= bound:
        return None
    needed = bound or found
    return (
        f"the schema is at revision {found}, which needs a release of revision {needed}"
        f" or newer; this one is of {ours}"
    )


async def schema_problem(connection: AsyncConnection) -> str | None:
    """Return why the database's schema does not suit this release; None if it does."""
    try:
        row = (await connection.execute(text(FOUND))).one_or_none()
    except ProgrammingError:
        row = None
    found, bound = row or (None, None)
    if found is None or found < SCHEMA_REVISION:
        return f"The schema is at {found}, this release needs {SCHEMA_REVISION}: run migrate."
    if found == SCHEMA_REVISION:
        return None
    problem = ahead_problem(found, bound, SCHEMA_REVISION)
    return problem and f"{problem[0].upper()}{problem[1:]}."
