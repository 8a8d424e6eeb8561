"""A migration runs as the database's owner, without superuser rights, once its role is prepared."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from payments_api.migrate import check, head_revision, migrate
from payments_local.postgres import EmbeddedPostgres, running_postgres
from testkit.database.sql import Sql

PAGE = Path(__file__).resolve().parents[4] / "docs/operations/migrations.md"
PREPARE = re.findall(r"## Without a superuser.*?```sql\n(.*?)```", PAGE.read_text(), re.S)[0]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """Run a separate server, because roles belong to the whole server."""
    with running_postgres() as running:
        yield running


@pytest.fixture
async def superuser(server: EmbeddedPostgres) -> AsyncIterator[Sql]:
    """The superuser's connection to a database that the role app owns."""
    administration = await asyncpg.connect(server.url)
    await administration.execute("CREATE ROLE app LOGIN")
    await administration.execute("CREATE DATABASE owned OWNER app")
    connection = await asyncpg.connect(urlsplit(server.url)._replace(path="/owned").geturl())
    yield connection
    await connection.close()
    await administration.execute("DROP DATABASE owned WITH (FORCE)")
    await administration.execute("DROP ROLE app")
    for role in ("owner", "api", "worker", "readonly", "backup", "observer"):
        await administration.execute(f"DROP ROLE IF EXISTS payments_{role}")
    await administration.close()


@pytest.fixture
def url_of_app(server: EmbeddedPostgres) -> str:
    """The database's URL as its owner."""
    return f"postgresql://app@127.0.0.1:{server.port}/owned"


async def test_without_preparation_the_migration_fails_as_a_whole(
    superuser: Sql, url_of_app: str
) -> None:
    with pytest.raises(DBAPIError, match="permission denied to create role"):
        await migrate(url_of_app)
    assert await superuser.fetch("SELECT FROM pg_tables WHERE tablename = 'payments'") == []


async def test_a_prepared_owner_migrates_up_and_down(superuser: Sql, url_of_app: str) -> None:
    await superuser.execute(PREPARE)
    assert await migrate(url_of_app) == head_revision()
    await check(url_of_app)
    assert await migrate(url_of_app, "base") == "base"
    assert await migrate(url_of_app) == head_revision()

    owners = await superuser.fetch(
        "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
        " AND tablename <> 'alembic_version'"
    )
    assert [tuple(row) for row in owners] == [("payments_owner",)]
    lent = await superuser.fetch(
        "SELECT pg_get_userbyid(proowner) FROM pg_proc"
        " WHERE pronamespace = 'public'::regnamespace AND prosecdef"
    )
    assert [tuple(row) for row in lent] == [("payments_observer",)]
    may_create = "SELECT has_schema_privilege('payments_observer', 'public', 'CREATE')"
    assert not await superuser.fetchval(may_create)


async def test_the_oldest_transaction_of_another_role_is_visible(
    superuser: Sql, url_of_app: str
) -> None:
    await superuser.execute(PREPARE)
    await migrate(url_of_app)
    async with superuser.transaction():
        await superuser.execute("SELECT pg_sleep(0.2)")
        reader = await asyncpg.connect(url_of_app.replace("app@", "payments_readonly@"))
        try:
            assert await reader.fetchval("SELECT oldest_transaction_age_seconds()") > 0.1
        finally:
            await reader.close()


async def test_without_the_observer_the_migration_keeps_the_function(
    superuser: Sql, url_of_app: str
) -> None:
    statements = PREPARE.replace("payments_owner, payments_observer", "payments_owner")
    await superuser.execute(statements)
    await superuser.execute("DROP ROLE payments_observer")
    assert await migrate(url_of_app) == head_revision()
    owner = await superuser.fetchval(
        "SELECT pg_get_userbyid(proowner) FROM pg_proc"
        " WHERE oid = 'oldest_transaction_age_seconds'::regproc"
    )
    assert owner == "app", "and so lends the rights of no superuser"


async def test_no_role_creates_temporary_objects(superuser: Sql, url_of_app: str) -> None:
    await superuser.execute(PREPARE)
    await migrate(url_of_app)
    for role in ("payments_api", "payments_worker", "payments_readonly"):
        connection = await asyncpg.connect(url_of_app.replace("app@", f"{role}@"))
        await connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TEMP TABLE payments (id int)")
        await connection.close()


async def test_a_password_without_the_privilege_to_set_it_is_rejected(
    superuser: Sql, url_of_app: str
) -> None:
    await superuser.execute(PREPARE)
    with pytest.raises(DBAPIError, match="permission denied to alter role"):
        await migrate(url_of_app, passwords={"payments_api": "secret"})
