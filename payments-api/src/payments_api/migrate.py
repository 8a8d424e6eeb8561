"""Migrations: one command applies the revisions before a rollout, never a server's start."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from payments_api.role_passwords import set_passwords
from payments_core.db.engine import AnyRow, connect_to_primary, sqlstate_of
from payments_core.db.schema_version import BOUND_LABEL, FOUND, ahead_problem

LOCK_WAIT_SECONDS = 120
# If a table stays in use for longer, the migration fails and can be run again, before the queue
# behind its lock stops the running release.
TABLE_LOCK_TIMEOUT_SECONDS = 10


SCRIPTS = Path(__file__).parent / "migrations"


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    # A % begins an interpolation in a configuration file.
    location = str(SCRIPTS).replace("%", "%%")
    config.set_main_option("script_location", location)
    config.attributes["connection"] = connection
    return config


def head_revision() -> str:
    """Return the revision that this release's code expects."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "the package ships its revisions"
    return head


def offline_sql() -> None:
    """Print the SQL of every revision, for sites whose administrators apply it by hand."""
    command.upgrade(_config(), "head", sql=True)
    print(f"{_record_bound(head_revision())};")
    print(f"{BACKUP_READS_ALL.strip()};")
    print(f"{VALIDATE_CONSTRAINTS.strip()};")


def oldest_compatible(revision: str) -> str:
    """Return the oldest revision whose code works on the schema of this one.

    The nearest revision at or below it that has `oldest_compatible` says so.
    """
    script = ScriptDirectory.from_config(_config())
    for each in script.iterate_revisions(revision, "base"):
        bound: str | None = getattr(each.module, "oldest_compatible", None)
        if bound is not None:
            return bound
    return revision  # This revision is older than the bound.


def _record_bound(revision: str) -> str:
    return f"COMMENT ON TABLE alembic_version IS '{BOUND_LABEL}{oldest_compatible(revision)}'"


async def migrate(url: str, revision: str = "head", passwords: dict[str, str] | None = None) -> str:
    """Bring the schema to a revision, set the roles' passwords, return the revision.

    Safe beside another migration: the second waits, then finds nothing to do. `revision` may
    be older than the database's: then it downgrades. The schema of a newer release stays unchanged
    if this release works on it; otherwise CommandError says which revision it needs.
    """
    async with _migration_connection(url) as connection:
        await connection.run_sync(_to_revision, revision)
        await set_passwords(connection, passwords or {})
        at = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    async with _migration_connection(url) as connection:
        await connection.exec_driver_sql(VALIDATE_CONSTRAINTS)
    return str(at) if at else "base"


async def check(url: str) -> None:
    """Raise alembic.util.CommandError when the tables and the revisions disagree."""
    async with _migration_connection(url) as connection:
        await connection.run_sync(lambda sync: command.check(_config(sync)))


def _to_revision(connection: Connection, revision: str) -> None:
    script = ScriptDirectory.from_config(_config())
    target = script.get_revision(revision) if revision != "base" else None
    row: AnyRow | None = connection.execute(text(FOUND)).one_or_none()
    at, bound = tuple(row) if row else (None, None)
    if at is not None and at not in {each.revision for each in script.walk_revisions()}:
        _accept_newer(at, bound, revision)
        return
    ahead = {r.revision for r in script.iterate_revisions("head", at or "base")}
    if target is None or (at is not None and target.revision not in ahead | {at}):
        command.downgrade(_config(connection), revision)
    else:
        command.upgrade(_config(connection), revision)
    if target is not None:
        connection.exec_driver_sql(_record_bound(target.revision))
        connection.exec_driver_sql(BACKUP_READS_ALL)


def _accept_newer(at: str, bound: str | None, revision: str) -> None:
    """Raise CommandError unless this release works on the schema of a newer one."""
    if revision != "head":
        raise CommandError(
            f"the database is at revision {at}, which this release does not know: run"
            f" `payments-api migrate {revision}` of the release that made it"
        )
    problem = ahead_problem(at, bound, head_revision())
    if problem is not None:
        ours = head_revision()
        raise CommandError(
            f"{problem}: return to the newer release, or run its `payments-api migrate {ours}`"
            " first (with make up you can also start anew: make reset, or another DATA_DIR)"
        )


# As Alembic creates it. Only its owner can lock it, and it exists before the first revision.
VERSION_TABLE = """
CREATE TABLE IF NOT EXISTS alembic_version (
    version_num varchar(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY
)"""
# Readiness probes can still read; every other migration waits, including an earlier release's,
# which takes an advisory lock, at its first write to this table.
LOCK = "LOCK TABLE alembic_version IN SHARE ROW EXCLUSIVE MODE"
# Revisions add constraints NOT VALID: reading a large table under the lock of ADD CONSTRAINT would
# stop payments. This reads it afterwards, in a separate transaction, and blocks no write.
VALIDATE_CONSTRAINTS = """
DO $$
DECLARE
    pending record;
BEGIN
    FOR pending IN
        SELECT conrelid::regclass AS on_table, conname FROM pg_constraint
        WHERE NOT convalidated AND connamespace = 'public'::regnamespace ORDER BY oid
    LOOP
        EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', pending.on_table, pending.conname);
    END LOOP;
END $$"""
# Every revision's tables, so that none can be missing in a backup. Not default privileges: they
# would stand in the dump under the name of the role that migrated.
BACKUP_READS_ALL = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'payments_backup') THEN
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO payments_backup;
        GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO payments_backup;
    END IF;
END $$"""
# unique_violation, duplicate_table, duplicate_object (the table's row type): another migration
# created it at the same moment.
_MADE_BY_ANOTHER = ("23505", "42P07", "42710")


FITNESS = """
SELECT current_setting('server_encoding'), datcollversion,
       pg_database_collation_actual_version(oid)
FROM pg_database WHERE datname = current_database()"""


async def _refuse_unfit_database(engine: AsyncEngine) -> None:
    """Raise CommandError for a database whose encoding or collation cannot work."""
    async with engine.connect() as connection:
        row: AnyRow = (await connection.exec_driver_sql(FITNESS)).one()
    encoding, made, actual = tuple(row)
    if encoding != "UTF8":
        raise CommandError(
            f"the database's encoding is {encoding}: create it with ENCODING 'UTF8'"
            " TEMPLATE template0"
        )
    if made is not None and made != actual:
        # Its indexes over text, including the one over idempotency keys, may be in the old order.
        raise CommandError(
            f"the database was made with version {made} of its collation, and the server has"
            f" {actual}: REINDEX DATABASE, then ALTER DATABASE ... REFRESH COLLATION VERSION"
        )


async def _make_version_table(engine: AsyncEngine) -> None:
    """Create the table that migrations lock, in a separate transaction."""
    try:
        async with engine.begin() as connection:
            there = await connection.scalar(text("SELECT to_regclass('alembic_version')"))
            if there is None:
                await connection.exec_driver_sql(VERSION_TABLE)
    except DBAPIError as error:
        if sqlstate_of(error) not in _MADE_BY_ANOTHER:
            raise


@asynccontextmanager
async def _migration_connection(url: str) -> AsyncIterator[AsyncConnection]:
    """Open one transaction that excludes other migrations and applies all revisions or none."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        poolclass=NullPool,
        async_creator=lambda: connect_to_primary(
            url,
            server_settings={
                "application_name": "payments-migrate",
                "default_transaction_isolation": "read committed",
            },
        ),
    )
    try:
        await _refuse_unfit_database(engine)
        await _make_version_table(engine)
        async with engine.begin() as connection:
            await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT_SECONDS}s'")
            await connection.exec_driver_sql(LOCK)
            await connection.exec_driver_sql(
                f"SET LOCAL lock_timeout = '{TABLE_LOCK_TIMEOUT_SECONDS}s'"
            )
            yield connection
    finally:
        await engine.dispose()
