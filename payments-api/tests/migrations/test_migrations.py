"""The schema's revisions: up, down, twice, concurrently, and by hand."""

import asyncio
import subprocess
import sys

import asyncpg
import pytest
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from payments_api import migrate as migrations
from payments_api.migrate import check, head_revision, migrate
from payments_local.postgres import BIN
from testkit.command_line import CommandLine

from .conftest import rows_of, schema_of

HEAD = head_revision()


REVISIONS = [f"{number:04d}" for number in range(1, int(HEAD) + 1)]


async def test_up_down_and_up_again_is_the_same_schema(empty_url: str) -> None:
    assert await migrate(empty_url) == HEAD
    first = await schema_of(empty_url)
    assert await migrate(empty_url, "base") == "base"
    left = await rows_of(empty_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert left == [("alembic_version",)]
    left = await rows_of(empty_url, "SELECT proname FROM pg_proc WHERE pronamespace = 2200")
    assert left == []
    assert await migrate(empty_url) == HEAD
    assert await schema_of(empty_url) == first


async def test_each_revision_upgrades_and_downgrades_alone(empty_url: str) -> None:
    schemas = {"base": ""}
    for revision in REVISIONS:
        assert await migrate(empty_url, revision) == revision
        schemas[revision] = await schema_of(empty_url)
    for revision in reversed(REVISIONS[:-1]):
        assert await migrate(empty_url, revision) == revision
        assert _without_grants(await schema_of(empty_url)) == _without_grants(schemas[revision])
    assert await migrate(empty_url) == HEAD
    # Each migration grants read access to the backup's role, so the order of a table's grants
    # depends on the steps.
    assert sorted((await schema_of(empty_url)).splitlines()) == sorted(schemas[HEAD].splitlines())


def _without_grants(schema: str) -> list[str]:
    # After a REVOKE the catalog lists default grants explicitly.
    lines = schema.splitlines()
    return [line for line in lines if not line.startswith(("GRANT", "REVOKE", "--")) and line]


async def test_a_second_migration_changes_nothing(empty_url: str) -> None:
    await migrate(empty_url)
    await rows_of(empty_url, "INSERT INTO workers (id, host, version) VALUES ('w', 'h', '1')")
    before = await schema_of(empty_url)
    assert await migrate(empty_url) == HEAD
    assert await schema_of(empty_url) == before
    assert await rows_of(empty_url, "SELECT id FROM workers") == [("w",)]


async def test_concurrent_migrations_wait_for_each_other(empty_url: str) -> None:
    assert await asyncio.gather(*(migrate(empty_url) for _ in range(4))) == [HEAD] * 4
    assert await rows_of(empty_url, "SELECT version_num FROM alembic_version") == [(HEAD,)]


EARLIER_RELEASES_LOCK_ID = 7_021_781_953


@pytest.mark.parametrize("role", ["payments_api", "payments_worker", "payments_readonly"])
async def test_no_other_role_can_block_a_migration(
    empty_url: str, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    monkeypatch.setattr(migrations, "LOCK_WAIT_SECONDS", 2)
    await migrate(empty_url)
    other = await asyncpg.connect(empty_url.replace("postgres@", f"{role}@"))
    try:
        await other.execute("SET default_transaction_read_only = off")
        await other.execute("BEGIN")
        await other.execute(f"SELECT pg_advisory_lock({EARLIER_RELEASES_LOCK_ID})")
        await other.execute("SELECT * FROM alembic_version")
        assert await migrate(empty_url) == HEAD
        for mode in ("ROW SHARE", "SHARE", "ACCESS EXCLUSIVE"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await other.execute(f"ROLLBACK; LOCK TABLE alembic_version IN {mode} MODE")
    finally:
        await other.close()


async def test_a_failed_migration_changes_nothing(empty_url: str) -> None:
    await migrate(empty_url, REVISIONS[0])
    await rows_of(empty_url, "CREATE FUNCTION refuse_unbalanced() RETURNS int RETURN 1")
    before = await schema_of(empty_url)
    with pytest.raises(DBAPIError, match="already exists"):
        await migrate(empty_url)
    assert await schema_of(empty_url) == before
    assert await rows_of(empty_url, "SELECT version_num FROM alembic_version") == [(REVISIONS[0],)]


async def test_a_table_in_use_fails_the_migration_before_it_stops_the_release(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "TABLE_LOCK_TIMEOUT_SECONDS", 1)
    await migrate(empty_url, REVISIONS[0])
    reader = await asyncpg.connect(empty_url)
    await reader.execute("BEGIN")
    await reader.execute("SELECT * FROM payments")
    with pytest.raises(DBAPIError, match="lock timeout"):
        await asyncio.wait_for(migrate(empty_url), 10)
    await reader.close()
    assert await migrate(empty_url) == HEAD


async def test_tables_py_equals_the_migrated_schema(empty_url: str, command: CommandLine) -> None:
    await migrate(empty_url)
    await check(empty_url)
    status, _, _ = await command("--check", DATABASE_URL=empty_url)
    assert status == 0
    await rows_of(empty_url, "ALTER TABLE payments ADD COLUMN more int")
    with pytest.raises(CommandError, match="more"):
        await check(empty_url)


async def test_the_printed_sql_creates_the_same_schema(empty_url: str) -> None:
    printing = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "payments_api", "migrate", "--sql"), stdout=subprocess.PIPE
    )
    script = (await printing.communicate())[0]
    assert printing.returncode == 0
    psql = await asyncio.create_subprocess_exec(
        str(BIN / "psql"),
        *("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", empty_url),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said = (await psql.communicate(script))[0].decode()
    assert psql.returncode == 0, said
    by_hand = await schema_of(empty_url)
    assert await migrate(empty_url) == HEAD
    assert await schema_of(empty_url) == by_hand
    await migrate(empty_url, "base")
    await migrate(empty_url)
    assert await schema_of(empty_url) == by_hand
