"""The schema's revisions: applied by one command before a rollout, never by a server's start."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from payments_core.db.engine import connect

# Any number, as long as every release uses the same: it keeps two migrations apart.
MIGRATION_LOCK_ID = 7_021_781_953
LOCK_WAIT_SECONDS = 120
# A table that is in use for longer lets the migration fail, to be run again, before the
# queue behind its lock stops the running release.
TABLE_LOCK_TIMEOUT_SECONDS = 10


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def head_revision() -> str:
    """The revision that this release's code expects."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "the package ships its revisions"
    return head


def offline_sql() -> None:
    """Print the SQL of every revision, for sites whose administrators apply it by hand."""
    command.upgrade(_config(), "head", sql=True)


async def migrate(url: str, revision: str = "head", passwords: dict[str, str] | None = None) -> str:
    """Bring the schema to a revision and set the roles' passwords; returns the revision.

    Safe beside another migration (the second waits, then finds nothing to do). `revision` may
    be older than the database's: then it downgrades.
    """
    async with _migration_connection(url) as connection:
        await connection.run_sync(_to_revision, revision)
        for role, password in (passwords or {}).items():
            # DDL takes no parameters: format() quotes the password on the server.
            statement = await connection.scalar(
                text("SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', :r ::text, :p ::text)"),
                {"r": role, "p": password},
            )
            assert isinstance(statement, str)
            await connection.exec_driver_sql(statement)
        at = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        return str(at) if at else "base"


async def check(url: str) -> None:
    """Raise alembic.util.CommandError when tables.py and the revisions disagree."""
    async with _migration_connection(url) as connection:
        await connection.run_sync(lambda sync: command.check(_config(sync)))


def _revision_of(connection: Connection) -> str | None:
    if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar() is None:
        return None
    at: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return at


def _to_revision(connection: Connection, revision: str) -> None:
    script = ScriptDirectory.from_config(_config())
    target = script.get_revision(revision) if revision != "base" else None
    at = _revision_of(connection)
    known = {r.revision for r in script.walk_revisions()}
    if at is not None and at not in known:
        raise CommandError(
            f"the database is at revision {at}, which this release does not know:"
            " run the migration of the release that made it"
        )
    ahead = {r.revision for r in script.iterate_revisions("head", at or "base")}
    if target is None or (at is not None and target.revision not in ahead | {at}):
        command.downgrade(_config(connection), revision)
    else:
        command.upgrade(_config(connection), revision)


@asynccontextmanager
async def _migration_connection(url: str) -> AsyncIterator[AsyncConnection]:
    """One transaction that holds the migration lock: all of it is applied, or nothing."""
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        poolclass=NullPool,
        async_creator=lambda: connect(
            url, timeout=10, server_settings={"application_name": "payments-migrate"}
        ),
    )
    try:
        async with engine.begin() as connection:
            await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT_SECONDS}s'")
            await connection.execute(
                text("SELECT pg_advisory_xact_lock(:id)"), {"id": MIGRATION_LOCK_ID}
            )
            await connection.exec_driver_sql(
                f"SET LOCAL lock_timeout = '{TABLE_LOCK_TIMEOUT_SECONDS}s'"
            )
            yield connection
    finally:
        await engine.dispose()
