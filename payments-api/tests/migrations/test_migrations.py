"""The schema's revisions: up, down, twice, concurrently, by hand, and from a newer release."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from payments_api import migrate as migrations
from payments_api.__main__ import main
from payments_api.migrate import check, head_revision, migrate
from payments_core.db.schema_version import schema_problem
from payments_local.postgres import BIN
from testkit.command_line import CommandLine
from testkit.network.certificates import Authority

Sql: TypeAlias = "asyncpg.Connection[Any]"

HEAD = head_revision()
REVISIONS = [f"{number:04d}" for number in range(1, int(HEAD) + 1)]


async def _rows(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def _schema(url: str) -> str:
    """Return pg_dump's schema, without its random markers."""
    dump = await asyncio.create_subprocess_exec(
        str(BIN / "pg_dump"), "--schema-only", url, stdout=subprocess.PIPE
    )
    text = (await dump.communicate())[0].decode()
    assert dump.returncode == 0
    return "\n".join(line for line in text.splitlines() if "restrict" not in line)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """`payments-api migrate ...`, in this process: exit status, standard output and error."""
    return CommandLine(monkeypatch, capsys, main, "migrate")


def where(url: str) -> str:
    """The database as commands name it."""
    host, _, database = url.partition("@")[2].partition("/")
    return f"{database} at {host}"


async def test_up_down_and_up_again_is_the_same_schema(empty_url: str) -> None:
    assert await migrate(empty_url) == HEAD
    first = await _schema(empty_url)
    assert await migrate(empty_url, "base") == "base"
    left = await _rows(empty_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert left == [("alembic_version",)]
    left = await _rows(empty_url, "SELECT proname FROM pg_proc WHERE pronamespace = 2200")
    assert left == []
    assert await migrate(empty_url) == HEAD
    assert await _schema(empty_url) == first


async def test_each_revision_goes_up_and_down_by_itself(empty_url: str) -> None:
    schemas = {"base": ""}
    for revision in REVISIONS:
        assert await migrate(empty_url, revision) == revision
        schemas[revision] = await _schema(empty_url)
    for revision in reversed(REVISIONS[:-1]):
        assert await migrate(empty_url, revision) == revision
        assert _without_grants(await _schema(empty_url)) == _without_grants(schemas[revision])
    assert await migrate(empty_url) == HEAD
    assert await _schema(empty_url) == schemas[HEAD]


def _without_grants(schema: str) -> list[str]:
    # A grant that was taken back leaves the default ones spelled out.
    lines = schema.splitlines()
    return [line for line in lines if not line.startswith(("GRANT", "REVOKE", "--")) and line]


async def test_a_second_migration_changes_nothing(empty_url: str) -> None:
    await migrate(empty_url)
    await _rows(empty_url, "INSERT INTO workers (id, host, version) VALUES ('w', 'h', '1')")
    before = await _schema(empty_url)
    assert await migrate(empty_url) == HEAD
    assert await _schema(empty_url) == before
    assert await _rows(empty_url, "SELECT id FROM workers") == [("w",)]


async def test_migrations_at_once_wait_for_each_other(empty_url: str) -> None:
    assert await asyncio.gather(*(migrate(empty_url) for _ in range(4))) == [HEAD] * 4
    assert await _rows(empty_url, "SELECT version_num FROM alembic_version") == [(HEAD,)]


EARLIER_RELEASES_LOCK_ID = 7_021_781_953


@pytest.mark.parametrize("role", ["payments_api", "payments_worker", "payments_readonly"])
async def test_no_other_role_can_keep_a_migration_waiting(
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


async def test_a_migration_that_fails_leaves_nothing_half_done(empty_url: str) -> None:
    await migrate(empty_url, REVISIONS[0])
    await _rows(empty_url, "CREATE FUNCTION refuse_unbalanced() RETURNS int RETURN 1")
    before = await _schema(empty_url)
    with pytest.raises(DBAPIError, match="already exists"):
        await migrate(empty_url)
    assert await _schema(empty_url) == before
    assert await _rows(empty_url, "SELECT version_num FROM alembic_version") == [(REVISIONS[0],)]


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


@pytest.mark.parametrize("target", ["base", "0001"])
async def test_a_newer_releases_schema_is_left_alone(empty_url: str, target: str) -> None:
    await migrate(empty_url)
    await _rows(empty_url, "UPDATE alembic_version SET version_num = '9999'")
    before = await _schema(empty_url)
    with pytest.raises(CommandError, match=r"9999, which this release does not know"):
        await migrate(empty_url, target)
    assert await _schema(empty_url) == before


NEWER_REVISION = """\"\"\"A newer release's revision.\"\"\"

from alembic import op

revision = "9999"
down_revision = "{head}"
branch_labels = None
depends_on = None
{bound}

def upgrade() -> None:
    op.execute("ALTER TABLE payments ADD COLUMN nickname text")


def downgrade() -> None:
    op.execute("ALTER TABLE payments DROP COLUMN nickname")
"""


async def _migrate_as_newer_release(url: str, folder: Path, bound: str = "") -> None:
    """Migrate with today's revisions and one more, as the next release would."""
    newer = folder / "migrations"
    shutil.copytree(migrations.SCRIPTS, newer)
    text = NEWER_REVISION.format(head=HEAD, bound=bound)
    (newer / "versions" / "r9999_newer.py").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "SCRIPTS", newer)
        assert await migrate(url) == "9999"


async def _service_problem(url: str) -> str | None:
    """Return what the services' readiness says about the schema."""
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))
    try:
        async with engine.connect() as connection:
            return await schema_problem(connection)
    finally:
        await engine.dispose()


async def test_an_older_release_serves_on_a_newer_additive_schema(
    empty_url: str, command: CommandLine, tmp_path: Path
) -> None:
    await _migrate_as_newer_release(empty_url, tmp_path)
    before = await _schema(empty_url)
    status, out, err = await command(DATABASE_URL=empty_url)
    assert (status, err) == (0, "")
    assert out == (
        f"the schema of {where(empty_url)} is at revision 9999, newer than this release's {HEAD},"
        " which works on it\n"
    )
    assert await _schema(empty_url) == before
    assert await _service_problem(empty_url) is None


async def test_a_contracting_revision_refuses_the_releases_before_it(
    empty_url: str, command: CommandLine, tmp_path: Path
) -> None:
    bound = 'oldest_compatible = "9998"\n'
    await _migrate_as_newer_release(empty_url, tmp_path, bound)
    status, out, err = await command(DATABASE_URL=empty_url)
    assert (status, out) == (1, "")
    assert err == (
        "migrate: the schema is at revision 9999, which needs a release of revision 9998 or newer;"
        f" this one is of {HEAD}: return to the newer release, or run its `payments-api migrate"
        f" {HEAD}` first (with make up you can also start anew: make reset, or another DATA_DIR)\n"
    )
    assert "needs a release of revision 9998" in str(await _service_problem(empty_url))


async def test_a_newer_schema_without_a_bound_is_refused(
    empty_url: str, command: CommandLine
) -> None:
    await migrate(empty_url)
    await _rows(empty_url, "UPDATE alembic_version SET version_num = '9999'")
    await _rows(empty_url, "COMMENT ON TABLE alembic_version IS NULL")
    status, _, err = await command(DATABASE_URL=empty_url)
    assert status == 1
    assert "needs a release of revision 9999" in err
    assert "needs a release of revision 9999" in str(await _service_problem(empty_url))


async def test_an_unknown_target_is_refused(empty_url: str, command: CommandLine) -> None:
    status, _, err = await command("0815", DATABASE_URL=empty_url)
    assert status == 1
    assert err.count("\n") == 1
    assert "0815" in err


async def test_the_command_says_where_the_schema_is(empty_url: str, command: CommandLine) -> None:
    for _ in range(2):
        status, out, err = await command(DATABASE_URL=empty_url)
        assert (status, out, err) == (
            0,
            f"the schema of {where(empty_url)} is at revision {HEAD}\n",
            "",
        )


async def test_under_json_logs_each_line_is_an_event(empty_url: str) -> None:
    for url, event, status in (
        (empty_url, "schema_migrated", 0),
        ("postgresql://postgres@127.0.0.1:1/payments", "migration_failed", 2),
    ):
        running = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "payments_api", "migrate"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "DATABASE_URL": url, "LOG_FORMAT": "json"},
        )
        out, err = await running.communicate()
        assert (running.returncode, err) == (status, b"")
        (line,) = map(json.loads, out.splitlines())
        assert line["event"] == event
        assert line["detail"]


async def test_an_unreachable_database_is_one_line_and_another_exit_status(
    command: CommandLine,
) -> None:
    url = "postgresql://postgres@127.0.0.1:1/payments"
    status, out, err = await command(DATABASE_URL=url)
    assert (status, out) == (2, "")
    assert err.startswith("migrate: ")
    assert err.count("\n") == 1


async def test_a_role_without_the_right_is_told_in_one_line(
    empty_url: str, migrated_url: str, command: CommandLine
) -> None:
    url = empty_url.replace("postgres@", "payments_api@")
    status, _, err = await command(DATABASE_URL=url)
    assert status == 1
    assert err.count("\n") == 1
    assert "permission denied" in err


async def test_tables_py_is_what_the_revisions_make(empty_url: str, command: CommandLine) -> None:
    await migrate(empty_url)
    await check(empty_url)
    status, _, _ = await command("--check", DATABASE_URL=empty_url)
    assert status == 0
    await _rows(empty_url, "ALTER TABLE payments ADD COLUMN more int")
    with pytest.raises(CommandError, match="more"):
        await check(empty_url)


async def test_the_printed_sql_makes_the_same_schema_by_hand(empty_url: str) -> None:
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
    by_hand = await _schema(empty_url)
    assert await migrate(empty_url) == HEAD
    assert await _schema(empty_url) == by_hand
    await migrate(empty_url, "base")
    await migrate(empty_url)
    assert await _schema(empty_url) == by_hand


async def test_roles_get_the_passwords_of_the_environment(
    empty_url: str, tmp_path: Path, sql: Sql, command: CommandLine
) -> None:
    secret = tmp_path / "worker-password"
    secret.write_text("wo'rk\"er\n")
    status, out, err = await command(
        DATABASE_URL=empty_url,
        PAYMENTS_DB_API_PASSWORD="ap'i",
        PAYMENTS_DB_WORKER_PASSWORD_FILE=str(secret),
    )
    assert status == 0, err
    assert "ap'i" not in out + err
    query = "SELECT rolname FROM pg_authid WHERE rolpassword LIKE 'SCRAM-SHA-256$%' ORDER BY 1"
    assert await _rows(empty_url, query) == [("payments_api",), ("payments_worker",)]
    await sql.execute("ALTER ROLE payments_api PASSWORD NULL")
    await sql.execute("ALTER ROLE payments_worker PASSWORD NULL")


async def test_a_password_file_that_is_missing_is_one_line(
    empty_url: str, command: CommandLine
) -> None:
    status, _, err = await command(
        DATABASE_URL=empty_url, PAYMENTS_DB_API_PASSWORD_FILE="/nowhere/secret"
    )
    assert status != 0
    assert err.count("\n") == 1
    assert "/nowhere/secret" in err


@pytest.mark.parametrize("command", ["migrate", "validate"])
def test_a_database_that_is_not_as_secure_as_asked_for_is_refused_in_one_line(
    database_url: str, tmp_path: Path, command: str
) -> None:
    authority = Authority(tmp_path / "ours")
    url = f"{database_url}?sslmode=verify-full&sslrootcert={authority.certificate}"
    done = subprocess.run(
        [sys.executable, "-m", "payments_api", command],
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    said = [line for line in (done.stdout + done.stderr).splitlines() if "TLS" in line]
    assert len(said) == 1
    assert "the server speaks no TLS, and sslmode asks for it" in said[0]
    assert "Traceback" not in done.stderr
