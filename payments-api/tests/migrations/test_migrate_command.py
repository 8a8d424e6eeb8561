"""`payments-api migrate`: its output, its exit statuses and its errors."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from payments_api.migrate import head_revision
from testkit.command_line import CommandLine, database_in_messages
from testkit.database.sql import Sql
from testkit.network.certificates import Authority

from .conftest import rows_of

HEAD = head_revision()


async def test_an_unknown_target_is_rejected(empty_url: str, command: CommandLine) -> None:
    status, _, err = await command("0815", DATABASE_URL=empty_url)
    assert status == 1
    assert err.count("\n") == 1
    assert "0815" in err


async def test_the_command_prints_the_schemas_revision(
    empty_url: str, command: CommandLine
) -> None:
    for _ in range(2):
        status, out, err = await command(DATABASE_URL=empty_url)
        assert (status, out, err) == (
            0,
            f"the schema of {database_in_messages(empty_url)} is at revision {HEAD}\n",
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


async def test_a_missing_privilege_is_reported_in_one_line(
    empty_url: str, migrated_url: str, command: CommandLine
) -> None:
    url = empty_url.replace("postgres@", "payments_api@")
    status, _, err = await command(DATABASE_URL=url)
    assert status == 1
    assert err.count("\n") == 1
    assert "permission denied" in err


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
    assert await rows_of(empty_url, query) == [("payments_api",), ("payments_worker",)]
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
def test_an_insufficiently_secure_database_is_rejected_in_one_line(
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
